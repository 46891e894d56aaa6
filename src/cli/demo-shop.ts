// The shop of `turnout demo --shadow`: what its versions answer, noise included, and the three bugs of the candidate.
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'

/** The version with the bugs. */
const CANDIDATE = 'green'
/** Items 1 to LAST exist. */
const LAST = 190

/** Answers a request for an item, an order or the cart. */
export function answerShop(version: string, request: IncomingMessage, response: ServerResponse): void {
  const [, what = '', id = ''] = (request.url ?? '').split('?')[0]!.split('/')
  const [status, body] = answerTo(what, id, version === CANDIDATE)
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ ...body, ...noise() }))
  // An upload is not of interest, but what is not read blocks the connection.
  request.resume()
}

function answerTo(what: string, id: string, hasBugs: boolean): [status: number, body: object] {
  switch (what) {
    case 'items':
      return itemOf(Number(id), hasBugs)
    case 'orders':
      return [200, { id, state: 'paid', lines: [{ item: 7, count: 2, price: 9.5 }] }]
    case 'cart':
      return [200, { items: 3, total: 41.5, currency: 'EUR' }]
    default:
      return [404, { error: 'no such page' }]
  }
}

function itemOf(id: number, hasBugs: boolean): [status: number, body: object] {
  // Bug 3: a wrong status for the items that do not exist.
  if (!(id >= 1 && id <= LAST)) return [hasBugs ? 500 : 404, { error: 'no such item' }]
  const price = 5 + id / 4
  const item = { id, name: `item ${id}`, price, related: shuffled([id + 1, id + 2, id + 3, id + 4]) }
  if (!hasBugs) return [200, { ...item, stock: id % 40 }]
  // Bug 1: there is no stock. Bug 2: every tenth price is text.
  return [200, { ...item, price: id % 10 === 0 ? price.toFixed(2) : price }]
}

/** What no two answers have in common. */
function noise(): object {
  return { traceId: randomUUID(), servedAt: new Date().toISOString() }
}

function shuffled<T>(list: T[]): T[] {
  return list
    .map(value => ({ value, lot: Math.random() }))
    .sort((a, b) => a.lot - b.lot)
    .map(({ value }) => value)
}
