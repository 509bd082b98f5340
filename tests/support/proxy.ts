/** A real HTTP proxy on the loopback: CONNECT (RFC 9110 §9.3.6), to wherever a test says. */
import { Buffer } from "node:buffer";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface ProxyServer {
  /** `http://127.0.0.1:PORT`, as HTTPS_PROXY would have it. */
  readonly url: string;
  readonly port: number;
  /** The heads of all requests so far. */
  readonly requests: readonly string[];
  /** Octets that clients have sent after the heads, of all connections. */
  readonly tunnelled: () => string;
  /** Cuts every connection. */
  cut(): void;
  close(): Promise<void>;
}

export interface ProxyOptions {
  /** The local port for `host:port` of a request; undefined for a 502. */
  readonly route: (target: string) => number | undefined;
  /** `user:password` that has to be shown, else 407. */
  readonly credentials?: string;
  /** Does something else with a request than to connect. @returns whether it did */
  readonly instead?: (socket: Socket, head: string) => boolean;
  /** The response to a successful CONNECT, in these pieces. */
  readonly established?: readonly string[];
}

export async function startProxy(options: ProxyOptions): Promise<ProxyServer> {
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  let tunnelled = "";
  const watch = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  };
  const server = createServer((client) => {
    watch(client);
    let head = "";
    const read = (octets: Uint8Array) => {
      head += Buffer.from(octets).toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      client.off("data", read);
      // Later octets wait until they are read.
      client.pause();
      requests.push(head);
      serve(client, head);
    };
    client.on("data", read);
  });

  function serve(client: Socket, head: string): void {
    if (options.instead?.(client, head)) return;
    const refuse = (status: string) =>
      client.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
    const target = /^CONNECT (\S+) HTTP\/1\.1\r\nHost: (\S+)\r\n/.exec(head);
    if (target === null || target[1] !== target[2]) return void refuse("400 Bad Request");
    if (options.credentials !== undefined) {
      const wanted = `Basic ${Buffer.from(options.credentials).toString("base64")}`;
      const shown = /^Proxy-Authorization: (.*)\r$/m.exec(head)?.[1];
      if (shown !== wanted) return void refuse("407 Proxy Authentication Required");
    }
    const port = options.route(target[1]!);
    if (port === undefined) return void refuse("502 Bad Gateway");
    const service = connect(port, "127.0.0.1", async () => {
      for (const piece of options.established ?? ["HTTP/1.1 200 Connection established\r\n\r\n"]) {
        client.write(piece);
        // The next piece shall come by itself.
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      client.on("data", (octets: Uint8Array) => {
        tunnelled += Buffer.from(octets).toString("latin1");
        service.write(octets);
      });
      client.on("end", () => service.end());
      client.resume();
      service.pipe(client);
    });
    watch(service);
    service.on("close", () => client.destroy());
    client.on("close", () => service.destroy());
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    tunnelled: () => tunnelled,
    cut,
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      cut();
      return closed;
    },
  };
}
