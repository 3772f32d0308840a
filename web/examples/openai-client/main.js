import OpenAI from "openai";
import { createEngine } from "quire";

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

const { baseURL } = await engine.serve("service-worker.js").catch(fail);
// From here on nothing knows of Quire; any page of this site could do the same.
const openai = new OpenAI({ baseURL, apiKey: "none", dangerouslyAllowBrowser: true });
const [{ id }] = (await openai.models.list().catch(fail)).data;
const button = form.querySelector("button");
button.disabled = false;

form.onsubmit = async (event) => {
  event.preventDefault();
  answer.textContent = "";
  button.disabled = true;
  const messages = [{ role: "user", content: form.question.value }];
  try {
    const stream = await openai.chat.completions.create({ model: id, messages, stream: true });
    for await (const { choices } of stream) answer.append(choices[0]?.delta.content ?? "");
  } catch (error) {
    status.textContent = error.message;
  }
  button.disabled = false;
};
