// The known word that was probably meant by one that is not known.

/** The candidate within two edits of the word, if there is one. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = 3;
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate, bestDistance - 1);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/**
 * Levenshtein's distance, or Infinity if it is more than `most`. Without a table of all pairs of letters:
 * each start compares each variable of the environment with each setting.
 */
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
