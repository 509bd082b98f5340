// The known word that was probably meant by one that is not known.

/** The candidate within two edits of the word, if there is one. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  return nearestOf(candidates)(word);
}

/** As {@link nearest}, for many words. */
export function nearestOf(candidates: Iterable<string>): (word: string) => string | undefined {
  const byLength = new Map<number, Candidate[]>();
  let order = 0;
  for (const word of candidates) {
    const candidate = { word, order: order++ };
    const others = byLength.get(word.length);
    if (others === undefined) byLength.set(word.length, [candidate]);
    else others.push(candidate);
  }
  return (word) => {
    const letters = lettersOf(word);
    let best: Candidate | undefined;
    let bestDistance = MOST_EDITS + 1;
    for (let length = word.length - MOST_EDITS; length <= word.length + MOST_EDITS; length++) {
      for (const candidate of byLength.get(length) ?? []) {
        candidate.letters ??= lettersOf(candidate.word);
        if (differsInMore(letters, candidate.letters)) continue;
        // Of several that are equally near, the first.
        const most = best !== undefined && candidate.order < best.order
          ? bestDistance
          : bestDistance - 1;
        const distance = editDistance(word, candidate.word, most);
        if (distance > most) continue;
        best = candidate;
        bestDistance = distance;
      }
    }
    return best?.word;
  };
}

interface Candidate {
  readonly word: string;
  readonly order: number;
  letters?: number;
}

const MOST_EDITS = 2;
/** Letters of a word that are compared before the whole words are. */
const BEGINNING = 12;

/**
 * The letters in the beginning of a word, as bits. Each start compares each variable of the environment with
 * each setting, and a pod has hundreds of variables: this rules out nearly all pairs at once.
 */
function lettersOf(word: string): number {
  let letters = 0;
  for (let i = Math.min(word.length, BEGINNING) - 1; i >= 0; i--) {
    letters |= 1 << (word.charCodeAt(i) & 31);
  }
  return letters;
}

/** Whether two words are further apart than two edits: each adds and removes a letter at most. */
function differsInMore(letters: number, others: number): boolean {
  let different = letters ^ others;
  for (let i = 0; i < 2 * MOST_EDITS; i++) different &= different - 1;
  return different !== 0;
}

/** Levenshtein's distance, or Infinity if it is more than `most`. */
function editDistance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return Infinity;
  let same = 0;
  while (same < a.length && a[same] === b[same]) same++;
  const [restA, restB] = [a.slice(same), b.slice(same)];
  if (restA === "" || restB === "") return restA.length + restB.length;
  if (most === 0) return Infinity;
  return 1 + Math.min(
    editDistance(restA.slice(1), restB.slice(1), most - 1),
    editDistance(restA, restB.slice(1), most - 1),
    editDistance(restA.slice(1), restB, most - 1),
  );
}
