// Connections that wait for a slot. Addresses take turns, however many connections each of them has.
// Each operation costs the same, whatever the queue's length.

import type { AddressGroup } from "./address_group.ts";
import { Ranking } from "./ranking.ts";

export class FairQueue<Member> {
  /** Groups that may have the next slot for one of theirs, in the order of their turns. */
  readonly #turns = new Set<AddressGroup<Member>>();
  /** Of those, the ones whose address is below its limit. */
  readonly #withinLimit = new Set<AddressGroup<Member>>();
  readonly #bySize = new Ranking<AddressGroup<Member>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The group whose turn it is. */
  get next(): AddressGroup<Member> | undefined {
    for (const group of this.#turns) return group;
    return undefined;
  }

  /** The first whose address is below its limit. */
  get nextWithinLimit(): AddressGroup<Member> | undefined {
    for (const group of this.#withinLimit) return group;
    return undefined;
  }

  /** The group with the most members in the queue. */
  get largest(): AddressGroup<Member> | undefined {
    return this.#bySize.largest;
  }

  add(member: Member, group: AddressGroup<Member>): void {
    group.waiting.add(member);
    this.#size++;
    this.update(group);
  }

  delete(member: Member, group: AddressGroup<Member>): void {
    if (!group.waiting.delete(member)) return;
    this.#size--;
    this.update(group);
  }

  /** A group has had its turn: its other members wait for the other groups. */
  endTurn(group: AddressGroup<Member>): void {
    this.#turns.delete(group);
    this.#withinLimit.delete(group);
    this.update(group);
  }

  /** To be called when a group's slots have changed. */
  update(group: AddressGroup<Member>): void {
    this.#bySize.resize(group, group.waiting.size);
    if (group.mayAdmit) this.#turns.add(group);
    else this.#turns.delete(group);
    if (group.mayAdmit && !group.isAtLimit) this.#withinLimit.add(group);
    else this.#withinLimit.delete(group);
  }
}
