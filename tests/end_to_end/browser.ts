// A headless Chromium, driven over the DevTools protocol (https://chromedevtools.github.io).

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Why no browser can be used on this machine, if so. */
export const NO_BROWSER: string | false =
  spawnSync("sh", ["-c", "command -v chromium"]).status === 0 ? false : "chromium is not installed";

/** A message of the protocol: a response with an `id`, or an event with a `method`. */
interface Incoming {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
  readonly method?: string;
  readonly sessionId?: string;
  // deno-lint-ignore no-explicit-any -- each event has its own parameters
  readonly params?: any;
}

export interface Screen {
  readonly width?: number;
  readonly height?: number;
  readonly dark?: boolean;
  /** Whether it emulates a telephone, whose scroll bars take no room. */
  readonly mobile?: boolean;
}

/** Chromium's process, which takes a second to start: the pages of a test file share it. */
interface Chromium {
  readonly child: ChildProcess;
  readonly profile: string;
  /** For DevTools. */
  readonly address: string;
}

let chromium: Promise<Chromium> | undefined;

async function startChromium(): Promise<Chromium> {
  const profile = mkdtempSync(join(tmpdir(), "relay-chromium-"));
  const child = spawn("chromium", [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    `--user-data-dir=${profile}`,
    "--remote-debugging-port=0",
    "about:blank",
  ], { env: { PATH: process.env["PATH"], HOME: profile }, stdio: ["ignore", "ignore", "pipe"] });
  const address = await new Promise<string>((resolve, reject) => {
    let said = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      const match = /DevTools listening on (ws:\S+)/.exec(said);
      if (match !== null) resolve(match[1]!);
    });
    child.once("exit", (code) => reject(new Error(`chromium ended with ${code}: ${said}`)));
  });
  return { child, profile, address };
}

/** Ends Chromium: to be called after the tests of a file. */
export async function quitBrowser(): Promise<void> {
  if (chromium === undefined) return;
  const { child, profile } = await chromium;
  chromium = undefined;
  // Its other processes hold standard error too, and write to the profile until they end.
  const exited = new Promise((resolve) => child.once("close", resolve));
  process.kill(child.pid!, "SIGTERM");
  await exited;
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}

/** A page in a context of its own, which shares no cookies, cache or storage with others. */
export class Browser {
  /** Errors on the console, those of frames too. */
  readonly errors: string[] = [];
  /** The addresses of all requests, of frames too. */
  readonly requests: string[] = [];
  readonly #socket: WebSocket;
  readonly #waiting = new Map<
    number,
    { resolve(result: unknown): void; reject(error: Error): void }
  >();
  #next = 1;
  #session: string | undefined;
  #context: string | undefined;

  static async open(url: string, width = 1280, height = 800): Promise<Browser> {
    chromium ??= startChromium();
    const { address } = await chromium;
    const socket = new WebSocket(address);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error("no DevTools connection"));
    });
    const browser = new Browser(socket);
    const { browserContextId } = await browser.#send("Target.createBrowserContext", {}) as {
      browserContextId: string;
    };
    browser.#context = browserContextId;
    const blank = { url: "about:blank", browserContextId };
    const { targetId } = await browser.#send("Target.createTarget", blank) as { targetId: string };
    const attached = await browser.#send("Target.attachToTarget", { targetId, flatten: true });
    browser.#session = (attached as { sessionId: string }).sessionId;
    await browser.#watch(browser.#session);
    await browser.#send("Page.enable", {});
    await browser.show({ width, height });
    await browser.#send("Page.navigate", { url });
    return browser;
  }

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      const incoming = JSON.parse(String(data)) as Incoming;
      const { id, result, error } = incoming;
      if (id === undefined) return this.#event(incoming);
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error.message));
    };
  }

  /** Subscribes to the console and the requests of a page, or of a frame with its own process. */
  async #watch(session: string): Promise<void> {
    const attach = { autoAttach: true, waitForDebuggerOnStart: false, flatten: true };
    // Earlier log entries come with Log.enable. A frame that has gone refuses all of it.
    await Promise.allSettled([
      this.#send("Runtime.enable", {}, session),
      this.#send("Log.enable", {}, session),
      this.#send("Network.enable", {}, session),
      this.#send("Target.setAutoAttach", attach, session),
    ]);
  }

  #event({ method, params }: Incoming): void {
    switch (method) {
      case "Target.attachedToTarget":
        void this.#watch(params.sessionId);
        break;
      case "Runtime.exceptionThrown":
        this.errors.push(JSON.stringify(params.exceptionDetails));
        break;
      case "Runtime.consoleAPICalled":
        if (params.type === "error") this.errors.push(JSON.stringify(params.args));
        break;
      case "Log.entryAdded":
        if (params.entry.level === "error") this.errors.push(params.entry.text);
        break;
      case "Network.requestWillBeSent":
        this.requests.push(params.request.url);
        break;
    }
  }

  /** Sets the window's size, and whether its user prefers dark colours. */
  async show({ width = 1280, height = 800, dark = false, mobile = false }: Screen): Promise<void> {
    await this.#send("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile,
    });
    await this.#send("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }],
    });
  }

  /** Presses a key, by its name such as `Escape`, or by what it writes. */
  async press(key: string): Promise<void> {
    const text = key.length === 1 ? { text: key } : key === "Enter" ? { text: "\r" } : {};
    const code = KEY_CODES[key];
    const common = { key, ...(code === undefined ? {} : { windowsVirtualKeyCode: code }) };
    await this.#send("Input.dispatchKeyEvent", { type: "keyDown", ...common, ...text });
    await this.#send("Input.dispatchKeyEvent", { type: "keyUp", ...common });
  }

  /** The value of an expression in the page; a promise's when it is settled. */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.#send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    }) as {
      result: { value?: unknown };
      exceptionDetails?: { text: string; exception?: { description?: string } };
    };
    if (exceptionDetails !== undefined) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value;
  }

  /** Waits until an expression in the page is true; evaluated again at every change of the page. */
  async until(condition: string): Promise<void> {
    await this.evaluate(`new Promise((resolve) => {
      const look = () => {
        if (!(${condition})) return;
        observer.disconnect();
        clearInterval(timer);
        resolve();
      };
      const observer = new MutationObserver(look);
      observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
      // Changes inside a frame are not changes of this document.
      const timer = setInterval(look, 100);
      look();
    })`);
  }

  async screenshot(): Promise<string> {
    return (await this.#send("Page.captureScreenshot", { format: "png" }) as { data: string }).data;
  }

  /** Closes the page, with all that it has stored. */
  async close(): Promise<void> {
    const context = { browserContextId: this.#context };
    this.#context = undefined;
    if (context.browserContextId === undefined) return;
    this.#session = undefined;
    await this.#send("Target.disposeBrowserContext", context);
    this.#socket.close();
  }

  #send(
    method: string,
    params: Record<string, unknown>,
    session = this.#session,
  ): Promise<unknown> {
    const id = this.#next++;
    const to = session === undefined ? {} : { sessionId: session };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ id, method, params, ...to }));
    });
  }
}

const KEY_CODES: Readonly<Record<string, number>> = {
  Enter: 13,
  Escape: 27,
  Tab: 9,
  ArrowDown: 40,
  ArrowUp: 38,
  ArrowLeft: 37,
  ArrowRight: 39,
};
