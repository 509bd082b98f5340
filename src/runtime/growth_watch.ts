// Notices each time that a number has grown by so much.

export interface GrowthWatchOptions {
  readonly step: number;
  grown(): void;
}

/**
 * Calls `grown` each time that the number is a step higher than at the last call; after a fall, two steps higher than
 * its lowest since then, so that a number that goes up and down by less calls nothing.
 */
export class GrowthWatch {
  readonly #options: GrowthWatchOptions;
  #number = 0;
  /** The number at which it has grown. */
  #next: number;

  constructor(options: GrowthWatchOptions) {
    this.#options = options;
    this.#next = options.step;
  }

  more(): void {
    if (++this.#number < this.#next) return;
    this.#next = this.#number + this.#options.step;
    this.#options.grown();
  }

  less(): void {
    this.#number--;
    this.#next = Math.min(this.#next, this.#number + 2 * this.#options.step);
  }
}
