// Pairs the elements of two arrays whatever their order: as multisets, by what is taken for the same.
import { areClose, type Canonical, inOrder } from './canonical.ts'

/** Indexes of the elements that have no partner on the other side. */
export type Unmatched = { primary: number[]; shadow: number[] }

export function matchSets(primary: readonly Canonical[], shadow: readonly Canonical[]): Unmatched {
  const others = indexesByText(shadow)
  const unmatched: Unmatched = { primary: [], shadow: [] }
  for (const [text, left] of indexesByText(primary)) {
    const right = others.get(text)
    if (right === undefined) {
      append(unmatched.primary, left)
      continue
    }
    others.delete(text)
    if (primary[left[0]!]!.loose.length > 0) {
      pairLoose(primary, left, shadow, right, unmatched)
    } else {
      append(unmatched.primary, left.slice(right.length))
      append(unmatched.shadow, right.slice(left.length))
    }
  }
  for (const right of others.values()) append(unmatched.shadow, right)
  return unmatched
}

/**
 * Pairs elements of one text whose loose values are the same. To go through both in order finds all pairs of elements
 * with one such value; of elements with more it may miss some, for it does not try all combinations.
 */
function pairLoose(
  primary: readonly Canonical[],
  left: number[],
  shadow: readonly Canonical[],
  right: number[],
  unmatched: Unmatched,
): void {
  left.sort((a, b) => inOrder(primary[a]!, primary[b]!))
  right.sort((a, b) => inOrder(shadow[a]!, shadow[b]!))
  let i = 0
  let j = 0
  while (i < left.length && j < right.length) {
    const a = primary[left[i]!]!
    const b = shadow[right[j]!]!
    if (areClose(a, b)) {
      i++
      j++
    } else if (inOrder(a, b) < 0) {
      unmatched.primary.push(left[i++]!)
    } else {
      unmatched.shadow.push(right[j++]!)
    }
  }
  append(unmatched.primary, left.slice(i))
  append(unmatched.shadow, right.slice(j))
}

function indexesByText(elements: readonly Canonical[]): Map<string, number[]> {
  const indexes = new Map<string, number[]>()
  elements.forEach(({ text }, i) => {
    const same = indexes.get(text)
    if (same === undefined) indexes.set(text, [i])
    else same.push(i)
  })
  return indexes
}

/** In a loop: spread arguments overflow the stack when there are very many. */
function append(to: number[], from: readonly number[]): void {
  for (const index of from) to.push(index)
}
