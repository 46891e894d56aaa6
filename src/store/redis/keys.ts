// The names of everything that lies in Redis. What one script touches has the hash tag of the prefix, so that
// a Cluster keeps it in one slot; pins are many and stand alone, so that they spread over all nodes.
import { hash } from 'node:crypto'

export type Keys = {
  /** Stream of revisions, ids `<number>-0`. */
  revisions: string
  /** Hash: hash of a config file -> number of the revision that it became. */
  files: string
  /** The latest of those hashes. */
  file: string
  /** What the stream is called: random text of its beginning. */
  fleet: string
  /** Number of the revision that the stream began with where that was all a new replica knew; gone when that holds. */
  seed: string
  /** Hash: id of a replica -> its lease and report. */
  replicas: string
  /** Channel that everyone listens to. */
  news: string
  /** Random text that is gone when Redis was emptied. */
  pins: string
  /** The pin of a user, by service and user key. */
  pin(service: string, key: string): string
  /** Anything else in the same slot, such as `differences:…`. */
  shared(name: string): string
}

/** 132 bits of the hash: enough that two users of a service never meet. */
const PIN_CHARS = 22

/** The names under a prefix. */
export function keysOf(prefix: string): Keys {
  const shared = (name: string) => `{${prefix}}:${name}`
  return {
    revisions: shared('revisions'),
    files: shared('files'),
    file: shared('file'),
    fleet: shared('fleet'),
    seed: shared('seed'),
    replicas: shared('replicas'),
    news: shared('news'),
    pins: shared('pins'),
    pin: (service, key) => `${prefix}:pin:${service}:${hash('sha256', key, 'base64url').slice(0, PIN_CHARS)}`,
    shared,
  }
}
