// JSON Merge Patch (RFC 7396): a patch has the shape of the document, with the values that change, and null
// for what goes. Lists are replaced whole.
import { type Json, MAX_DEPTH } from './document.ts'

/** The document with the patch merged in; neither is changed, and the result may share parts of both. */
export function mergePatch(document: Json, patch: Json): Json {
  return merge(document, patch, 0)
}

function merge(document: Json, patch: Json, depth: number): Json {
  // No document goes deeper, so nothing is there to merge with; a patch that does is refused when it is checked.
  if (!isMapping(patch) || depth > MAX_DEPTH) return patch
  const merged = new Map(isMapping(document) ? Object.entries(document) : [])
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key)
    else merged.set(key, merge(merged.get(key) ?? null, value, depth + 1))
  }
  // Defines every key as its own, so that one named __proto__ is a key like any other.
  return Object.fromEntries(merged)
}

function isMapping(value: Json): value is { [key: string]: Json } {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
