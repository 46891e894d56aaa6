// The verbs and drains of the service `shop` as callers of the admin API see them.
import type { DrainStatus } from '../../src/control/drains.ts'
import type { Event } from '../../src/control/events.ts'
import { AdminCaller, type Reply } from './admin.ts'
import { poll } from './turnout.ts'

export class ShopTraffic {
  readonly #api: AdminCaller

  constructor(turnout: { readonly adminUrl: string }) {
    this.#api = new AdminCaller(turnout.adminUrl)
  }

  call(method: string, path: string, body?: unknown): Promise<Reply> {
    return this.#api.call(method, `/v1/services/shop${path === '' ? '' : `/${path}`}`, { body })
  }

  /** A call that has to succeed; answers its body. */
  async must(method: string, path: string, body?: unknown): Promise<Reply['json']> {
    const { status, json, text } = await this.call(method, path, body)
    if (status !== 200) throw new Error(`${method} ${path}: ${status} ${text}`)
    return json
  }

  cutover(to: string, more: Record<string, unknown> = {}): Promise<Reply['json']> {
    return this.must('POST', 'cutover', { to, ...more })
  }

  rollback(): Promise<Reply['json']> {
    return this.must('POST', 'rollback', {})
  }

  drain(version: string): Promise<DrainStatus> {
    return this.must('GET', `versions/${version}/drain`)
  }

  async drained(version: string): Promise<DrainStatus> {
    let status = await this.drain(version)
    await poll(async () => {
      status = await this.drain(version)
      return status.state === 'drained'
    }, `${version} drained`)
    return status
  }

  /** What was told of drains, oldest first: actor, reason and message. */
  async told(): Promise<[string, string | null, string][]> {
    const { json } = await this.#api.get('/v1/audit')
    const events = (json.events as Event[]).filter(({ kind }) => kind === 'drain')
    return events.reverse().map(({ actor, reason, message }) => [actor, reason, message])
  }
}
