// Notices when nothing has happened for a while.

export interface RestWatchOptions {
  /** Calls `look` again and again, and does not keep the program alive; the returned function ends it. */
  every(look: () => void): () => void;
  /** Called once each time that nothing has happened between two looks. */
  atRest(): void;
}

/** At rest, nothing is called any more until something happens. */
export class RestWatch {
  readonly #options: RestWatchOptions;
  #active = false;
  #stop: (() => void) | undefined;

  constructor(options: RestWatchOptions) {
    this.#options = options;
  }

  /** Something happens. Takes no time: it is called for each piece of octets. */
  active(): void {
    this.#active = true;
    this.#stop ??= this.#options.every(() => this.#look());
  }

  #look(): void {
    if (this.#active) {
      this.#active = false;
      return;
    }
    this.#stop?.();
    this.#stop = undefined;
    this.#options.atRest();
  }
}
