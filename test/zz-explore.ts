import fc from 'fast-check'
import { NodeServer, NodeClient } from './http1-node.ts'
import { readRequests, readResponse } from './http1-reader.ts'
import { REQUESTS, ANSWER } from './http1-grammar.ts'
const n = Number(process.argv[2] ?? 2000), seed = Number(process.argv[3] ?? 1)
const what = process.argv[4] ?? 'req'
const t0 = Date.now()
const cases = fc.sample(what === 'req' ? REQUESTS : fc.tuple(fc.constantFrom('GET','HEAD','POST'), ANSWER), { numRuns: n, seed }) as any[]
console.log('gen', Date.now() - t0)
const tally = new Map<string, { n: number; ex: string }>()
function count(k: string, ex: string) { const t = tally.get(k); if (t) { t.n++; if (ex.length < t.ex.length) t.ex = ex } else tally.set(k, { n: 1, ex }) }
const forbidden = new Set(['content-length', 'transfer-encoding'])
function norm(m: any) { return JSON.stringify({ ...m, trailers: m.trailers.filter((t: any) => !forbidden.has(t[0].toLowerCase())) }) }
if (what === 'req') {
  const s = await NodeServer.start()
  for (let i = 0; i < cases.length; i += 64) {
    await Promise.all(cases.slice(i, i + 64).map(async (raw: string) => {
      const bytes = Buffer.from(raw, 'latin1')
      const a = readRequests(bytes)
      const b = await s.read(bytes)
      const k = a.messages.length, m = b.messages.length
      let same = true
      for (let j = 0; j < Math.min(k, m); j++) if (norm(a.messages[j]) !== norm(b.messages[j])) { same = false; count('DIFF message', JSON.stringify(raw) + '\n   ' + norm(a.messages[j]) + '\n   ' + norm(b.messages[j])) }
      const rel = m > k ? (a.end === 'open' ? 'NODE-MORE' : 'node-more') : m < k ? 'node-less' : 'equal'
      if (!same || rel === 'NODE-MORE' || rel === 'node-less' || (a.end==='open' && b.end !== 'open')) count(`${same ? 'same' : 'diff'} ${rel} ${rel==='node-less' ? '' : 'ours='+a.end} node=${b.end}`, JSON.stringify(raw))
      if (k > 0) count('accepted', '')
    }))
  }
  await s.close()
} else {
  const s = await NodeClient.start()
  for (let i = 0; i < cases.length; i += 64) {
    await Promise.all(cases.slice(i, i + 64).map(async ([method, raw]: any) => {
      const bytes = Buffer.from(raw, 'latin1')
      const a = readResponse(bytes, method)
      const b = await s.read(bytes, method)
      let same = 'n/a'
      if (a.end === 'complete' && b.end === 'complete') same = norm({ ...a }) === norm(b) ? 'same' : 'DIFF'
      if (!(a.end.startsWith('http') && b.end !== 'complete')) count(`${same} ours=${a.end} node=${b.end}`, method + ' ' + JSON.stringify(raw) + (same === 'DIFF' ? '\n  ' + JSON.stringify(a) + '\n  ' + JSON.stringify(b) : ''))
    }))
  }
  await s.close()
}
console.log('ms', Date.now() - t0)
for (const [k, v] of [...tally].sort((x, y) => y[1].n - x[1].n)) console.log(v.n, k, '\n      ', v.ex)
