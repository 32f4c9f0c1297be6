// Calls the gateway as an application would; prints what came back as JSON.
import OpenAI from "openai";

const client = new OpenAI(); // OPENAI_BASE_URL and OPENAI_API_KEY
const messages = [{ role: "user", content: "Count." }];
const tools = [{ type: "function", function: { name: "look", parameters: { type: "object", properties: {} } } }];

const streamed = async (model) => {
  let text = "";
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  return text;
};

const calls = {
  chat: async () => (await client.chat.completions.create({ model: "gpt", messages })).choices[0].message.content,
  stream: () => streamed("gpt"),
  tools: async () =>
    (await client.chat.completions.create({ model: "gpt", messages, tools })).choices[0].message.tool_calls,
  embeddings: async () => (await client.embeddings.create({ model: "vectors", input: ["a", "bcd"] })).data,
  models: async () => (await client.models.list()).data.map((model) => model.id),
  flow: () => streamed("flow/ask"),
  missing: async () => {
    try {
      await client.chat.completions.create({ model: "nobody", messages });
    } catch (wrong) {
      return [wrong.constructor.name, wrong.status, wrong.code];
    }
  },
};
console.log(JSON.stringify(await calls[process.argv[2]]()));
