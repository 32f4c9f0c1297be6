// Starts aimock on a free port and says where. Fixtures come over its control API; it ends with its standard input.
import { LLMock } from "@copilotkit/aimock";

const mock = new LLMock({ port: 0, host: "127.0.0.1", chunkSize: 4, logLevel: "silent" });
console.log(await mock.start());
process.stdin.on("end", () => mock.stop().then(() => process.exit(0)));
process.stdin.resume();
