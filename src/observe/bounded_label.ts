// Values of a label that nothing bounds: the first ones count by themselves, all others together.

export class BoundedLabel {
  readonly #max: number;
  readonly #values = new Set<string>();

  /** @param max values that count by themselves */
  constructor(max: number) {
    this.#max = max;
  }

  /** @returns the value, or `other` */
  of(value: string): string {
    if (this.#values.has(value)) return value;
    if (this.#values.size >= this.#max) return "other";
    this.#values.add(value);
    return value;
  }
}
