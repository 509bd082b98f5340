// Rows of the status page by their key, bounded in number. Each has the version of its last change,
// so that a page is told what has changed, and nothing has to be remembered for pages.

interface Row<V> {
  value: V;
  version: number;
}

export class Rows<V> {
  readonly #max: number;
  readonly #rows = new Map<string, Row<V>>();
  /** The row that was set last: what happens again and again is mostly at one and the same. */
  #newest: Row<V> | undefined;

  /** @param max rows; the one that was changed longest ago is forgotten */
  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#rows.size;
  }

  get(key: string): V | undefined {
    return this.#rows.get(key)?.value;
  }

  /** Sets a row, which becomes the last one to be forgotten. */
  set(key: string, value: V, version: number): void {
    if (this.#max === 0) return;
    const row = this.#rows.get(key);
    if (row === undefined) {
      this.#rows.set(key, this.#newest = { value, version });
      return this.#shrink();
    }
    row.value = value;
    row.version = version;
    if (row === this.#newest) return;
    this.#rows.delete(key);
    this.#rows.set(key, this.#newest = row);
  }

  delete(key: string): void {
    this.#rows.delete(key);
  }

  /** Rows that have changed after that version; all for 0. */
  since(version: number): V[] {
    const found: V[] = [];
    for (const row of this.#rows.values()) if (row.version > version) found.push(row.value);
    return found;
  }

  #shrink(): void {
    if (this.#rows.size <= this.#max) return;
    for (const oldest of this.#rows.keys()) return void this.#rows.delete(oldest);
  }
}
