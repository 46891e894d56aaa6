// The parts of a match that routes and rules share: methods, headers, query, cookies, client addresses.
import { AddressSet } from '../../route/address-set.ts'
import type { Path } from '../problems.ts'
import type { ConditionConfig, FieldMatchConfig } from '../schema.ts'
import type { Loose } from '../shape.ts'
import { type Context, checkExactlyOne } from './context.ts'
import { checkCookieName, checkHeaderName, TOKEN } from './fields.ts'
import { checkRegex } from './regex.ts'

const TESTS = ['exact', 'prefix', 'suffix', 'contains', 'regex', 'present']

export function checkConditions(context: Context, path: Path, match: Loose<ConditionConfig>): void {
  match.methods.forEach((method, i) => {
    checkMethod(context, [...path, 'methods', i], method)
  })
  checkFields(context, [...path, 'headers'], match.headers, (at, name) => checkHeaderName(context, at, name, 'value'))
  checkFields(context, [...path, 'query'], match.query, () => {})
  checkFields(context, [...path, 'cookies'], match.cookies, (at, name) => checkCookieName(context, at, name))
  checkRanges(context, [...path, 'clientIp'], match.clientIp)
}

/** Reports every entry that is no address or CIDR range. */
export function checkRanges({ problems }: Context, path: Path, ranges: readonly (string | undefined)[]): void {
  ranges.forEach((range, i) => {
    if (range === undefined) return
    try {
      new AddressSet([range])
    } catch {
      const at = [...path, i]
      const message = `${problems.source.quote(at)} is no address or CIDR range`
      problems.error('CONFIG_CIDR', at, message, 'Write it like 10.0.0.0/8, 2001:db8::/32 or 203.0.113.7.')
    }
  })
}

function checkMethod({ problems }: Context, path: Path, method: string | undefined): void {
  if (method === undefined) return
  if (!TOKEN.test(method)) {
    const message = `${problems.source.quote(path)} is no method`
    problems.error('CONFIG_METHOD', path, message, 'Write one method an entry, such as GET.')
  } else if (method !== method.toUpperCase()) {
    const message = `${problems.source.quote(path)} does not match ${method.toUpperCase()}, since methods are case-sensitive`
    problems.warning('CONFIG_METHOD', path, message, 'Write it in capitals.')
  }
}

function checkFields(
  context: Context,
  path: Path,
  fields: readonly Loose<FieldMatchConfig>[],
  checkName: (path: Path, name: string | undefined) => void,
): void {
  fields.forEach((field, i) => {
    const at = [...path, i]
    checkName([...at, 'name'], field.name)
    checkExactlyOne(context, at, TESTS, [...TESTS, 'name', 'invert'])
    checkRegex(context, [...at, 'regex'], field.regex)
  })
}
