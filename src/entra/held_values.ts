// Values that many may hold, each once: a map that keeps none of them alive.

export class HeldValues<V extends object> {
  readonly #values = new Map<string, WeakRef<V>>();
  readonly #collected = new FinalizationRegistry<string>((key) => {
    if (this.#values.get(key)?.deref() === undefined) this.#values.delete(key);
  });

  /** The value of this key that is still held; from now on this one if there is none. */
  of(key: string, value: V): V {
    const held = this.#values.get(key)?.deref();
    if (held !== undefined) return held;
    this.#values.set(key, new WeakRef(value));
    this.#collected.register(value, key);
    return value;
  }
}
