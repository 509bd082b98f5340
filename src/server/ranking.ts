// The largest of many groups. Each operation costs the same, however many groups there are.
//
// Every new connection changes the sizes of several groups. On one runtime, a Map or Set whose members come and
// go takes new memory again and again. What of that has become old keeps all that follows from being collected.
// Hence an array and a WeakMap, and a new set for each size.

export class Ranking<Group extends object> {
  /** Groups by size; undefined for sizes without groups. */
  readonly #bySize: (Set<Group> | undefined)[] = [];
  readonly #sizes = new WeakMap<Group, number>();
  #largest = 0;

  /** Members of the largest group. */
  get largestSize(): number {
    return this.#largest;
  }

  /** Among several of that size, the group that has had it longest. */
  get largest(): Group | undefined {
    for (const group of this.#bySize[this.#largest] ?? []) return group;
    return undefined;
  }

  /** Puts a group after the others of its size. */
  touch(group: Group): void {
    const groups = this.#bySize[this.#sizes.get(group) ?? 0];
    if (groups === undefined || groups.size === 1) return;
    groups.delete(group);
    groups.add(group);
  }

  /** To be called after each change of a size. A group without members is forgotten. */
  resize(group: Group, size: number): void {
    const before = this.#sizes.get(group) ?? 0;
    if (size === before) return;
    if (before > 0) this.#leave(before, group);
    if (size === 0) this.#sizes.delete(group);
    else {
      this.#sizes.set(group, size);
      this.#join(size, group);
    }
    this.#largest = Math.max(this.#largest, size);
    while (this.#largest > 0 && this.#bySize[this.#largest] === undefined) this.#largest--;
  }

  #join(size: number, group: Group): void {
    (this.#bySize[size] ??= new Set()).add(group);
  }

  #leave(size: number, group: Group): void {
    const groups = this.#bySize[size]!;
    groups.delete(group);
    if (groups.size === 0) this.#bySize[size] = undefined;
  }
}
