// The lookup table in Azure Tables, through its SDK, which is loaded with the first query.
// https://learn.microsoft.com/javascript/api/overview/azure/data-tables-readme

import type { TokenCredential } from "@azure/core-auth";
import type {
  HttpClient as PipelineClient,
  PipelineRequest,
  PipelineResponse,
} from "@azure/core-rest-pipeline";
import type { TableClient, TableEntityResult } from "@azure/data-tables";
import type { AzureClientOptions } from "../azure/transport.ts";
import type { StorageAccess } from "../settings/storage_access.ts";
import type { Row } from "./entry.ts";
import { type EntrySource, isTrouble, type TableTrouble } from "./entry_source.ts";
import { classifyTableError, isMissingEntry, late } from "./table_error.ts";
import { shortId } from "./username.ts";

export interface LookupTableOptions {
  /** Of the table: its name is the end of the path. */
  readonly url: URL;
  readonly partitionKey: string;
  /** Options of the SDK's client. */
  readonly client: AzureClientOptions;
  /** An account key or a signature; or what makes the credential of an identity. */
  readonly access: StorageAccess | (() => Promise<TokenCredential>);
}

/** An entity, each property with its type, so that it is written back as it was read. */
type Properties = Record<string, unknown>;

/** The most entries that `list` reads. */
const MAX_LISTED = 100_000;

/** The result of a change. `conflict`: another writer was faster. */
export type Change = "created" | "changed" | "deleted" | "missing" | "conflict";

type Sdk = typeof import("@azure/data-tables");

export class LookupTable implements EntrySource {
  readonly #options: LookupTableOptions;
  #client: Promise<{ client: TableClient; sdk: Sdk }> | undefined;

  constructor(options: LookupTableOptions) {
    this.#options = options;
  }

  /** Its URL, for people: without a query, which may hold a secret. */
  get address(): string {
    const { origin, pathname } = this.#options.url;
    return `${origin}${pathname}`;
  }

  find(id: string, timeout: number): Promise<Row | undefined | TableTrouble> {
    return this.#ask(timeout, async ({ client }, abortSignal) => {
      return rowOf(await client.getEntity(this.#options.partitionKey, id, { abortSignal }));
    });
  }

  async findByClient(
    clientId: string,
    timeout: number,
  ): Promise<readonly Row[] | TableTrouble> {
    return await this.#ask(timeout, async ({ client, sdk }, abortSignal) => {
      const filter = this.#clientFilter(sdk, clientId);
      const rows: Row[] = [];
      for await (const entity of client.listEntities({ queryOptions: { filter }, abortSignal })) {
        rows.push(rowOf(entity));
      }
      return rows;
    }) ?? [];
  }

  /** All entries, in the order of their RowKeys. @param timeout milliseconds */
  async list(timeout: number): Promise<readonly Row[] | TableTrouble> {
    return await this.#ask(timeout, async ({ client, sdk }, abortSignal) => {
      const filter = sdk.odata`PartitionKey eq ${this.#options.partitionKey}`;
      const rows: Row[] = [];
      for await (const entity of client.listEntities({ queryOptions: { filter }, abortSignal })) {
        if (rows.push(rowOf(entity)) >= MAX_LISTED) break;
      }
      return rows;
    }) ?? [];
  }

  /** Whether the table can be read, and whether there is any entry. @param timeout milliseconds */
  async probe(timeout: number): Promise<{ readonly empty: boolean } | TableTrouble> {
    return await this.#ask(timeout, async ({ client, sdk }, abortSignal) => {
      const filter = sdk.odata`PartitionKey eq ${this.#options.partitionKey}`;
      const pages = client.listEntities({ queryOptions: { filter }, abortSignal })
        .byPage({ maxPageSize: 1 });
      for await (const page of pages) {
        if (page.length > 0) return { empty: false };
      }
      return { empty: true };
    }) ?? { empty: true };
  }

  /**
   * Changes columns of an entry; an undefined one is removed. Its other columns stay.
   *
   * @param make whether to create the entry where it does not exist
   * @param timeout milliseconds
   */
  async set(
    id: string,
    changes: Readonly<Record<string, string | boolean | undefined>>,
    make: boolean,
    timeout: number,
  ): Promise<Change | TableTrouble> {
    const { partitionKey } = this.#options;
    const before = await this.#read(id, timeout);
    if (before !== undefined && isTrouble(before)) return before;
    if (before === undefined && !make) return "missing";
    const etag = before?.["etag"] as string | undefined;
    const properties: Properties = { ...before, ...changes };
    for (const name of NO_COLUMNS) delete properties[name];
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined) delete properties[name];
    }
    const entity = { ...properties, partitionKey, rowKey: id };
    return await this.#change(timeout, async ({ client }, abortSignal) => {
      if (etag === undefined) await client.createEntity(entity, { abortSignal });
      else await client.updateEntity(entity, "Replace", { etag, abortSignal });
      return etag === undefined ? "created" : "changed";
    });
  }

  /** @param timeout milliseconds */
  delete(id: string, timeout: number): Promise<Change | TableTrouble> {
    return this.#change(timeout, async ({ client }, abortSignal) => {
      await client.deleteEntity(this.#options.partitionKey, id, { abortSignal });
      return "deleted";
    });
  }

  #read(id: string, timeout: number): Promise<Properties | undefined | TableTrouble> {
    return this.#ask(timeout, async ({ client }, abortSignal) => {
      return await client.getEntity(this.#options.partitionKey, id, {
        abortSignal,
        disableTypeConversion: true,
      }) as Properties;
    });
  }

  /** It is a conflict where the entry was changed or created by another writer meanwhile. */
  async #change(
    timeout: number,
    change: (table: { client: TableClient; sdk: Sdk }, signal: AbortSignal) => Promise<Change>,
  ): Promise<Change | TableTrouble> {
    const result = await this.#ask<{ readonly change: Change }>(
      timeout,
      async (table, signal) => {
        try {
          return { change: await change(table, signal) };
        } catch (error) {
          const { statusCode } = error as { statusCode?: unknown };
          const conflict = statusCode === 412 ||
            statusCode === 409 && !classifyTableError(error, timeout).gone;
          if (conflict) return { change: "conflict" };
          throw error;
        }
      },
    );
    if (result === undefined) return "missing";
    return isTrouble(result) ? result : result.change;
  }

  /** One request with a deadline; undefined if the entry does not exist. */
  async #ask<T extends object>(
    timeout: number,
    request: (table: { client: TableClient; sdk: Sdk }, signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined | TableTrouble> {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    // A credential may wait for a source that does not observe the signal.
    const deadline = new Promise<TableTrouble>((resolve) => {
      timer = setTimeout(() => {
        resolve(late(timeout));
        abort.abort();
      }, timeout);
    });
    const answer = (async () => {
      try {
        return await request(await this.#open(), abort.signal);
      } catch (error) {
        return isMissingEntry(error) ? undefined : classifyTableError(error, timeout);
      }
    })();
    try {
      return await Promise.race([answer, deadline]);
    } finally {
      clearTimeout(timer);
    }
  }

  #open(): Promise<{ client: TableClient; sdk: Sdk }> {
    return this.#client ??= this.#connect().catch((error) => {
      // The next query tries anew.
      this.#client = undefined;
      throw error;
    });
  }

  async #connect(): Promise<{ client: TableClient; sdk: Sdk }> {
    const sdk = await import("@azure/data-tables");
    const { url, access, client } = this.#options;
    const end = url.pathname.lastIndexOf("/");
    const service = url.origin + url.pathname.slice(0, end);
    const credential = typeof access === "function"
      ? await access()
      : access.type === "key"
      ? new sdk.AzureNamedKeyCredential(access.account, access.key.reveal())
      : new sdk.AzureSASCredential(access.signature.reveal());
    const options = {
      allowInsecureConnection: url.protocol === "http:",
      ...client,
      httpClient: impatient(client.httpClient),
    };
    const name = url.pathname.slice(end + 1);
    // The SDK has one overload for each kind of credential.
    const Client = sdk.TableClient as new (
      url: string,
      table: string,
      credential: unknown,
      options: object,
    ) => TableClient;
    return { client: new Client(service, name, credential, options), sdk };
  }

  /**
   * The rows of this partition that may have this client_id in any spelling: the UUID in any case, by its
   * first two digits; its short form; or the column type for UUIDs. The service's comparisons are
   * case-sensitive, and a filter may have 15 of them.
   */
  #clientFilter(sdk: Sdk, clientId: string): string {
    const { odata } = sdk;
    const short = shortId(clientId);
    const starts = new Set([
      ...spellings(clientId.slice(0, 2)),
      // In both alphabets of base64, with padding or not.
      short,
      short.replaceAll("-", "+").replaceAll("_", "/"),
    ]);
    const ranges = [...starts].map((start) =>
      odata`(client_id ge ${start} and client_id lt ${successor(start)})`
    );
    return odata`PartitionKey eq ${this.#options.partitionKey} and (` +
      `${ranges.join(" or ")} or client_id eq guid'${clientId}')`;
  }
}

/**
 * The SDK waits as long as a throttling response asks it to, while a login waits for it. Such a response
 * is an error at once instead: the cache of entries does not query a throttled table for a while.
 */
function impatient(transport: PipelineClient): PipelineClient {
  return {
    async sendRequest(request: PipelineRequest): Promise<PipelineResponse> {
      const response = await transport.sendRequest(request);
      const { status, headers } = response;
      if (!headers.has("retry-after") || (status !== 429 && status !== 503)) return response;
      // The SDK would repeat the request after a RestError.
      const code = headers.get("x-ms-error-code");
      throw Object.assign(new Error("the service asks to wait"), { statusCode: status, code });
    },
  };
}

/** Properties that the service or its SDK adds. */
const NO_COLUMNS = ["etag", "timestamp", "odata.metadata", "partitionKey", "rowKey"];

/** Two digits of a UUID in all mixtures of upper and lower case: four at most. */
function spellings(digits: string): string[] {
  const [first = "", second = ""] = digits;
  return [first, first.toUpperCase()].flatMap((one) =>
    [second, second.toUpperCase()].map((two) => one + two)
  );
}

/** The first text after all that begin so. */
function successor(start: string): string {
  return start.slice(0, -1) + String.fromCharCode(start.charCodeAt(start.length - 1) + 1);
}

function rowOf(entity: TableEntityResult<Record<string, unknown>>): Row {
  const columns = Object.fromEntries(
    Object.entries(entity).filter(([name]) => !NO_COLUMNS.includes(name)),
  );
  return { id: entity.rowKey ?? "", columns };
}
