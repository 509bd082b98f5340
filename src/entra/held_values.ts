// Values that many may hold, each once: a map that keeps none of them alive.

export class HeldValues<V extends object> {
  readonly #values = new Map<string, WeakRef<V>>();
  readonly #collected = new FinalizationRegistry<string>((key) => {
    if (this.#values.get(key)?.deref() === undefined) this.#values.delete(key);
  });

  /** Keys, among them those of values that are being collected. */
  get size(): number {
    return this.#values.size;
  }

  /** The value of this key that is still held; if no value is, this one, which is held from now on. */
  of(key: string, value: V): V {
    const held = this.#values.get(key)?.deref();
    if (held !== undefined) return held;
    this.#values.set(key, new WeakRef(value));
    this.#collected.register(value, key);
    return value;
  }
}
