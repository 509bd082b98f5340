// A queue in which each client (an address, or an IPv6 /64) has its turn, however many connections
// another one has in it. Each operation costs the same, whatever the queue's length.

export class FairQueue<Member> {
  /** All members in the order in which they came, and whose each one is. */
  readonly #all = new Map<Member, string>();
  /** Members by whose they are, in the order in which they have their turns. */
  readonly #turns = new Map<string, Set<Member>>();

  get size(): number {
    return this.#all.size;
  }

  has(member: Member): boolean {
    return this.#all.has(member);
  }

  /** Whose it is; undefined where it is not in here. */
  ownerOf(member: Member): string | undefined {
    return this.#all.get(member);
  }

  /** @param key whose it is; a member that is there is given to another one */
  add(member: Member, key: string): void {
    if (this.#all.get(member) === key) return;
    this.delete(member);
    this.#all.set(member, key);
    const members = this.#turns.get(key);
    if (members === undefined) this.#turns.set(key, new Set([member]));
    else members.add(member);
  }

  delete(member: Member): void {
    const key = this.#all.get(member);
    if (key === undefined) return;
    this.#all.delete(member);
    const members = this.#turns.get(key)!;
    members.delete(member);
    if (members.size === 0) this.#turns.delete(key);
  }

  /** Whose turn it is. */
  get next(): Member | undefined {
    for (const members of this.#turns.values()) for (const member of members) return member;
    return undefined;
  }

  /** Takes out a member that has had its turn: the others of its client wait for theirs. */
  serve(member: Member): void {
    const key = this.#all.get(member);
    if (key === undefined) return;
    this.delete(member);
    const rest = this.#turns.get(key);
    if (rest === undefined) return;
    this.#turns.delete(key);
    this.#turns.set(key, rest);
  }

  /** Whoever came first, whatever turns there are. */
  get oldest(): Member | undefined {
    for (const member of this.#all.keys()) return member;
    return undefined;
  }
}
