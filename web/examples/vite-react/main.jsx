import { createEngine } from "quire";
import { useEffect, useRef, useState } from "react";
import { createRoot } from "react-dom/client";

const MODEL = "https://huggingface.co/ggml-org/gpt-oss-20b-GGUF/resolve/main/gpt-oss-20b-mxfp4.gguf";
const model = new URL(location.href).searchParams.get("model") ?? MODEL;

/** An engine while the component is there; `status` says in words how far it is. */
function useEngine(model) {
  const [engine, setEngine] = useState();
  const [status, setStatus] = useState("");
  useEffect(() => {
    const controller = new AbortController();
    const onProgress = ({ loaded, total }) => setStatus(`Loading: ${Math.round((100 * loaded) / (total || 1))} %`);
    const loading = createEngine({ model, onProgress, signal: controller.signal });
    loading.then(
      (engine) => {
        setEngine(engine);
        setStatus(`${engine.info.name} on ${engine.info.adapter}`);
      },
      (error) => error.name !== "AbortError" && setStatus(error.message),
    );
    return () => {
      controller.abort();
      setEngine(undefined);
      loading.then((engine) => engine.unload(), () => {});
    };
  }, [model]);
  return { engine, status };
}

function Chat() {
  const { engine, status } = useEngine(model);
  const [question, setQuestion] = useState("What is the capital of France?");
  const [answer, setAnswer] = useState("");
  const under = useRef();

  const ask = async (event) => {
    event.preventDefault();
    under.current?.abort();
    const { signal } = (under.current = new AbortController());
    setAnswer("");
    try {
      const messages = [{ role: "user", content: question }];
      const stream = await engine.chat.completions.create({ messages, stream: true }, { signal });
      for await (const { choices } of stream) setAnswer((answer) => answer + (choices[0]?.delta.content ?? ""));
    } catch (error) {
      if (error.name !== "AbortError") setAnswer(error.message);
    }
  };

  return (
    <>
      <form onSubmit={ask}>
        <input id="question" size={50} value={question} onChange={(event) => setQuestion(event.target.value)} />{" "}
        <button disabled={!engine}>Ask</button>
      </form>
      <p id="status">{status}</p>
      <pre id="answer">{answer}</pre>
    </>
  );
}

createRoot(document.getElementById("root")).render(<Chat />);
