// The largest of many groups. Each operation costs the same, however many groups there are.

export class Ranking<Group> {
  /** Groups by size; sizes without groups are left out. */
  readonly #bySize = new Map<number, Set<Group>>();
  readonly #sizes = new Map<Group, number>();
  #largest = 0;

  /** Members of the largest group. */
  get largestSize(): number {
    return this.#largest;
  }

  /** Among several of that size, the group that has had it longest. */
  get largest(): Group | undefined {
    for (const group of this.#bySize.get(this.#largest) ?? []) return group;
    return undefined;
  }

  /** Puts a group after the others of its size. */
  touch(group: Group): void {
    const groups = this.#bySize.get(this.#sizes.get(group) ?? 0);
    if (groups?.delete(group)) groups.add(group);
  }

  /** To be called after each change of a size. A group without members is forgotten. */
  resize(group: Group, size: number): void {
    const before = this.#sizes.get(group) ?? 0;
    if (size === before) return;
    const old = this.#bySize.get(before);
    old?.delete(group);
    if (old?.size === 0) this.#bySize.delete(before);
    if (size === 0) this.#sizes.delete(group);
    else {
      this.#sizes.set(group, size);
      let groups = this.#bySize.get(size);
      if (groups === undefined) this.#bySize.set(size, groups = new Set());
      groups.add(group);
    }
    this.#largest = Math.max(this.#largest, size);
    while (this.#largest > 0 && !this.#bySize.has(this.#largest)) this.#largest--;
  }
}
