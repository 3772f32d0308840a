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
const button = form.querySelector("button");
button.disabled = false;

const functions = { today: () => new Date().toDateString() };
const tools = [{ type: "function", function: { name: "today", description: "The date of today, and its day of the week.", parameters: { type: "object", properties: {} } } }];

/** Asks until the model calls nothing any more. */
async function ask(question) {
  const messages = [{ role: "user", content: question }];
  // Some models never stop asking.
  for (let round = 0; round < 8; round += 1) {
    const { choices } = await engine.chat.completions.create({ messages, tools });
    const { message } = choices[0];
    messages.push(message);
    if (!message.tool_calls?.length) break;
    for (const { id, function: { name, arguments: input } } of message.tool_calls) {
      answer.append(`${name}(${input})\n`);
      // What a model writes may be anything: names of functions that there are not, and what is no JSON.
      const content = Object.hasOwn(functions, name) ? functions[name]() : `There is no function ${name}.`;
      messages.push({ role: "tool", tool_call_id: id, content });
    }
  }
  answer.append(messages.at(-1).content ?? "");
}

form.onsubmit = async (event) => {
  event.preventDefault();
  answer.textContent = "";
  button.disabled = true;
  await ask(form.question.value).catch((error) => (status.textContent = error.message));
  button.disabled = false;
};
