// The cloud of the bench: the least that answers as Entra and Graph do, so that what is measured
// is the relay. Prints its port. `/count` tells how many messages it has been given.

// What is used of Bun: its type package and Deno's checker do not go together.
declare const Bun: {
  serve(options: {
    hostname: string;
    port: number;
    fetch(request: Request): Response | Promise<Response>;
  }): { readonly port: number };
};

let count = 0;
const accepted = new Response(null, { status: 202 });

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/count") return Response.json({ count });
    const body = await request.text();
    if (pathname.endsWith("/token")) {
      return Response.json({ token_type: "Bearer", expires_in: 3599, access_token: TOKEN });
    }
    // Base64 of a whole message, or the bench measures something else.
    if (body.length % 4 !== 0 || body.length < 10_000) return new Response(null, { status: 400 });
    count++;
    return accepted.clone();
  },
});

const claims = btoa(JSON.stringify({ roles: ["Mail.Send"] })).replaceAll("=", "");
const TOKEN = `e30.${claims}.${"s".repeat(1200)}`;
console.log(server.port);
