/** The HTTP client as the relay has it: on the runtime's own connections. */
import { HttpClient, type HttpClientOptions } from "../../src/http/client.ts";
import { currentRuntime } from "../../src/runtime/current.ts";

const { connect } = await currentRuntime();

export function httpClient(options: HttpClientOptions = {}): HttpClient {
  return new HttpClient({ connect, ...options });
}
