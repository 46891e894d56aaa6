// The pins keeper as a data plane meets it: a port, over which the test sees what is asked and answers as it likes.
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { onTestFinished } from 'vitest'
import type { PinCorrection, PinOutcome, PinReply, PinRequest } from '../../src/pins/protocol.ts'
import type { TestPlane } from './plane.ts'
import { until } from './raw.ts'

/** One user who was asked for. */
export type AskedPin = {
  batch: number
  group: number
  key: number
  service: string
  user: string
  wanted: string
  accepts: string[]
  ttlMs: number
}

export class PinKeeper {
  /** In the order they came. */
  readonly asked: AskedPin[] = []
  /** Versions that were dropped, and how many users had been asked for by then. */
  readonly dropped: { version: string; after: number }[] = []
  /** Messages with lookups. */
  messages = 0
  /** Answers what is asked as soon as it comes: like a store without anybody in it at first. */
  isPrompt = false
  readonly #pins = new Map<string, string>()
  readonly #port: MessagePort

  /** Links the plane to this keeper. Requests wait for its answers as long as they have to. */
  constructor(plane: TestPlane) {
    const { port1, port2 } = new MessageChannel()
    this.#port = port2
    port2.on('message', (request: PinRequest) => this.#onRequest(request))
    plane.plane.pins.waitMs = 60_000
    plane.plane.pins.link(port1)
    onTestFinished(() => {
      plane.plane.pins.link(null)
      port2.close()
    })
  }

  /** Waits until so many users were asked for, and answers the last one. */
  async next(count: number): Promise<AskedPin> {
    await until(() => this.asked.length >= count, `${count} lookups`)
    return this.asked[count - 1]!
  }

  answer({ batch, group, key }: AskedPin, version: string, outcome: PinOutcome, ms = 60_000): void {
    this.#post([{ batch, group, key, version, outcome, expiresAt: Date.now() + ms }])
  }

  correct(corrected: PinCorrection): void {
    this.#post({ corrected: [corrected] })
  }

  /** It died. */
  close(): void {
    this.#port.close()
  }

  #post(reply: PinReply): void {
    this.#port.postMessage(reply)
  }

  #onRequest(request: PinRequest): void {
    if ('known' in request) return
    if ('drop' in request) {
      for (const { version } of request.drop) this.dropped.push({ version, after: this.asked.length })
      return
    }
    this.messages++
    for (const [group, { service, keys, wanted, accepts, ttlMs }] of request.groups.entries()) {
      for (const [key, user] of keys.entries()) {
        const asked = { batch: request.batch, group, key, service, user, wanted: wanted[key]!, accepts, ttlMs }
        this.asked.push(asked)
        if (this.isPrompt) this.#decide(asked)
      }
    }
  }

  #decide(asked: AskedPin): void {
    const { service, user, wanted, accepts } = asked
    const name = `${service}/${user}`
    const pinned = this.#pins.get(name)
    if (pinned !== undefined && accepts.includes(pinned)) {
      this.answer(asked, pinned, 'found')
    } else {
      this.#pins.set(name, wanted)
      this.answer(asked, wanted, pinned === undefined ? 'new' : 'moved')
    }
  }
}
