// The way of one copy through one mirror. The mirror moves it on; here is only what it knows about it.
import type { Copy } from './copy.ts'
import type { Mirror } from './mirror.ts'
import type { Sent } from './sender.ts'

/**
 * `gathering`: the request is not whole yet. `waiting`: to be sent. `sent`: the shadow has it. `answered`: the shadow
 * came to an end with it, which is counted; what is left is the comparison. `over`: nothing is left.
 */
export type Stage = 'gathering' | 'waiting' | 'sent' | 'answered' | 'over'

export class Delivery {
  readonly mirror: Mirror
  readonly copy: Copy
  stage: Stage = 'gathering'
  /** The answers are to be compared; no more once something for it is missing. */
  isCompared: boolean
  /** Bytes that it holds in the queue of the mirror, and how many of these are the primary's answer. */
  held: number
  heldAnswer = 0
  /** What became of it at the shadow and at the twin. */
  shadow: Sent | null = null
  twin: Sent | null = null
  /** The twin has it. */
  isAtTwin = false

  /** `held`: bytes that the queue took it up with. */
  constructor(mirror: Mirror, copy: Copy, isCompared: boolean, held: number) {
    this.mirror = mirror
    this.copy = copy
    this.isCompared = isCompared
    this.held = held
  }
}
