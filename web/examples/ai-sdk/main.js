import { streamText } from "ai";
import { createEngine } from "quire";
import { quire } from "quire/ai-sdk";

const MODEL = "https://huggingface.co/ggml-org/gpt-oss-20b-GGUF/resolve/main/gpt-oss-20b-mxfp4.gguf";
const model = new URL(location.href).searchParams.get("model") ?? MODEL;
const [form, status, answer] = ["form", "#status", "#answer"].map((name) => document.querySelector(name));

const onProgress = ({ loaded, total }) => (status.textContent = `Loading: ${Math.round((100 * loaded) / (total || 1))} %`);
const fail = (error) => {
  status.textContent = error.message;
  throw error;
};
const engine = await createEngine({ model, onProgress }).catch(fail);
status.textContent = `${engine.info.name} on ${engine.info.adapter}`;
const button = form.querySelector("button");
button.disabled = false;

form.onsubmit = async (event) => {
  event.preventDefault();
  answer.textContent = "";
  button.disabled = true;
  const onError = ({ error }) => (status.textContent = error.message);
  const { textStream } = streamText({ model: quire(engine), prompt: form.question.value, onError });
  for await (const text of textStream) answer.append(text);
  button.disabled = false;
};
