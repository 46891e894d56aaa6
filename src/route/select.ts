// Which version of a service answers a request, and why: override, rule, sticky, hash, weight, in this
// order. `select` fills a reused Selection and allocates nothing; `explain` answers the same in words.

import { textOf } from '../http1/wire-text.ts'
import { REASONS, type Reason } from '../observe/cells.ts'
import type { Condition } from './condition.ts'
import { Override, type OverrideInput } from './override.ts'
import type { KnownPins } from './pinned.ts'
import type { RequestView } from './request-view.ts'
import { Split } from './split.ts'
import { StickyCookie, type StickyInput } from './sticky.ts'
import { type KeySourceInput, UserKey } from './user-key.ts'

const OVERRIDE = REASONS.indexOf('override')
const RULE = REASONS.indexOf('rule')
const STICKY = REASONS.indexOf('sticky')
const HASH = REASONS.indexOf('hash')
const WEIGHT = REASONS.indexOf('weight')
const FAILOVER = REASONS.indexOf('failover')

/** A rule with its match compiled; it leads to one version, or divides its users by weights. */
export type RuleInput = {
  readonly name: string
  /** Null = every request. */
  readonly match: Condition | null
} & (
  | { readonly version: string; readonly weights?: null }
  | { readonly version?: null; readonly weights: Readonly<Record<string, number>> }
)

/** The traffic settings of one service, all defaults resolved. */
export type SelectorInput = {
  readonly service: string
  /** Names in file order; everything here that is an index means this order. */
  readonly versions: readonly string[]
  readonly override: OverrideInput | null
  readonly rules: readonly RuleInput[]
  readonly split: {
    readonly weights: Readonly<Record<string, number>>
    readonly by: readonly KeySourceInput[]
    readonly salt: string
  }
  readonly sticky: StickyInput
  /** What is known of the users of a service that keeps its pins in a store; null for a service that does not. */
  readonly pins?: KnownPins | null
  /** Versions that drain or are drained: no rule leads to them, and pinned users come only where they are kept. */
  readonly leaving?: readonly { readonly version: string; readonly keepsPinned: boolean }[]
  /** What becomes of a request whose version has no usable endpoint. Default: divided by weights. */
  readonly failover?: FailoverInput
}

/** Nothing, divide among the usable versions by weight, or one version for all. */
export type FailoverInput = { readonly mode: 'none' | 'weights' } | { readonly to: string }

/** The outcome of one choice; one object serves all requests of a worker. */
export class Selection {
  /** Index of the version. */
  version = 0
  /** Index into REASONS. */
  reason = WEIGHT
  /** The user key (wire bytes) where the choice had to look for it; null where it had not, or found none. */
  key: string | null = null
  /** Name of the rule, where the reason is `rule`. */
  rule: string | null = null
  /** Set-Cookie value to send with the answer. */
  setCookie: string | null = null
  /** The choice is open: only the store knows whether the user is pinned. `version` is the one to pin if not. */
  needsPin = false
}

/** A choice in words. */
export type Explanation = {
  version: string
  reason: Reason
  key: string | null
  /** By version, what the user key scores in the split that applies; null without a key. */
  scores: Record<string, number> | null
  rule: string | null
}

export class Selector {
  readonly #versions: readonly string[]
  /** The version that every request gets, -1 when a request can make a difference. */
  readonly #settled: number
  readonly #override: Override | null
  readonly #rules: readonly Rule[] | null
  readonly #sticky: StickyCookie | null
  readonly #pins: KnownPins | null
  readonly #key: UserKey | null
  readonly #split: Split
  readonly #failover: FailoverInput
  /** By version: false while it drains or is drained. */
  readonly #stays: readonly boolean[]
  /** By version: does it have a usable endpoint? Null while all do. */
  #usable: readonly boolean[] | null = null
  /** The one version that takes over from one without usable endpoint; -1 where the others of a split do. */
  #failoverTo = -1

  /** Throws an Error when a rule names an unknown version or all weights of a split are 0. */
  constructor(input: SelectorInput) {
    const { versions, split } = input
    this.#versions = versions
    this.#override = input.override === null ? null : new Override(input.override, versions)
    const leaving = input.leaving ?? []
    this.#stays = versions.map(name => !leaving.some(({ version }) => version === name))
    const rules = input.rules.map(rule => new Rule(rule, versions, split.salt)).filter(rule => rule.keep(this.#stays))
    this.#rules = rules.length === 0 ? null : rules
    this.#sticky = input.sticky.mode === 'cookie' ? new StickyCookie(input.sticky, input.service, versions) : null
    this.#pins = input.pins ?? null
    for (const { version, keepsPinned } of leaving) {
      if (!keepsPinned) this.#sticky?.dropPinned(versions.indexOf(version))
    }
    this.#failover = input.failover ?? { mode: 'weights' }
    this.#key = split.by.length === 0 ? null : new UserKey(split.by)
    this.#split = new Split(versions, split.weights, split.salt)
    const hasChoice =
      this.#override !== null ||
      this.#rules !== null ||
      this.#sticky !== null ||
      this.#key !== null ||
      !this.#split.isSettled
    this.#settled = hasChoice ? -1 : this.#split.peek(null)
  }

  /**
   * Chooses the version for a request; to be called once per request, since it takes a turn of the round robin.
   * `settle` has to follow where it needs the pin of the user.
   */
  select(view: RequestView, out: Selection): void {
    if (this.#settled !== -1 && this.#usable === null) {
      out.version = this.#settled
      out.reason = WEIGHT
      out.key = null
      out.rule = null
      out.setCookie = null
      out.needsPin = false
      return
    }
    const split = this.#decide(view, out)
    if (split !== null) out.version = split.choose(out.key)
    if (out.needsPin) return
    if (this.#usable !== null && !this.#usable[out.version] && this.#failOver(view, split, out, false)) return
    if (split === null) return
    // Pinning a rule's user would keep the version after the rule stopped matching.
    if (this.#sticky !== null && out.reason !== RULE) out.setCookie = this.#sticky.cookieFor(out.version, view.secure)
  }

  /**
   * Ends the choice for a user key that needed the pin of the user: it is `version`. `wasPinned` is false for the
   * first choice of a user, and where nobody could tell.
   */
  settle(view: RequestView, key: string, version: number, wasPinned: boolean, out: Selection): void {
    out.version = version
    out.reason = wasPinned ? STICKY : HASH
    out.key = key
    out.rule = null
    out.setCookie = null
    out.needsPin = false
    if (this.#usable !== null && !this.#usable[version]) this.#failOver(view, null, out, false)
  }

  /** What `select` would choose and why, without taking a turn: where the reason is `weight`, the version next in turn. */
  explain(view: RequestView): Explanation {
    const out = new Selection()
    const split = this.#decide(view, out)
    if (split !== null) out.version = split.peek(out.key)
    if (this.#usable !== null && !this.#usable[out.version]) this.#failOver(view, split, out, true)
    const key = out.key ?? this.keyOf(view)
    const scores = key === null ? null : (split ?? this.#split).scores(key)
    return {
      version: this.#versions[out.version]!,
      reason: REASONS[out.reason]!,
      key: key === null ? null : textOf(key),
      scores: scores === null ? null : Object.fromEntries(this.#versions.map((version, i) => [version, scores[i]!])),
      rule: out.rule,
    }
  }

  /**
   * Goes on with the turns of the previous revision where versions and weights are the same, so that an
   * unrelated change does not start a cycle anew.
   */
  inherit(previous: Selector): void {
    const isSame = (version: string, i: number) => version === previous.#versions[i]
    if (this.#versions.length !== previous.#versions.length || !this.#versions.every(isSame)) return
    this.#split.inherit(previous.#split)
    for (const rule of this.#rules ?? []) {
      const before = previous.#rules?.find(candidate => candidate.name === rule.name)
      if (rule.split !== null && before !== undefined && before.split !== null) rule.split.inherit(before.split)
    }
  }

  /** Says which versions have a usable endpoint; null = all. */
  setUsable(usable: readonly boolean[] | null): void {
    this.#usable = usable
    const takes = usable === null ? null : usable.map((up, i) => up && this.#stays[i]!)
    if ('to' in this.#failover) {
      const to = this.#versions.indexOf(this.#failover.to)
      this.#failoverTo = takes !== null && takes[to] === true ? to : -1
    } else if (this.#failover.mode === 'weights') {
      this.#split.setOthers(takes)
      for (const rule of this.#rules ?? []) rule.split?.setOthers(takes)
    }
  }

  /**
   * The version that was chosen has no usable endpoint: takes another one where there is one, and then answers
   * true. Who asked for a version by name gets no other. The assignment is not rewritten: no cookie is set.
   */
  #failOver(view: RequestView, split: Split | null, out: Selection, isPeek: boolean): boolean {
    if (out.reason === OVERRIDE) return false
    if (this.#failoverTo !== -1) {
      out.version = this.#failoverTo
    } else {
      // Users whom a rule divides stay among its versions where they can.
      const others = split?.others ?? this.#split.others
      if (others === null) return false
      out.key ??= this.keyOf(view)
      out.version = isPeek ? others.peek(out.key) : others.choose(out.key)
    }
    out.reason = FAILOVER
    out.setCookie = null
    return true
  }

  /** Fills `out` but for what a split has to choose; answers that split, null when the version is already known. */
  #decide(view: RequestView, out: Selection): Split | null {
    out.key = null
    out.rule = null
    out.setCookie = null
    out.needsPin = false
    if (this.#override !== null) {
      const version = this.#override.find(view)
      if (version !== -1) {
        out.version = version
        out.reason = OVERRIDE
        return null
      }
    }
    const rules = this.#rules
    if (rules !== null) {
      for (let i = 0; i < rules.length; i++) {
        const rule = rules[i]!
        if (rule.match !== null && !rule.match.matches(view)) continue
        out.reason = RULE
        out.rule = rule.name
        out.version = rule.version
        if (rule.split !== null) out.key = this.keyOf(view)
        return rule.split
      }
    }
    if (this.#sticky !== null) {
      const version = this.#sticky.find(view)
      if (version !== -1) {
        out.version = version
        out.reason = STICKY
        return null
      }
    }
    out.key = this.keyOf(view)
    out.reason = out.key === null ? WEIGHT : HASH
    // Who has no key cannot be found again, so nobody keeps a version for them.
    if (this.#pins !== null && out.key !== null) {
      const version = this.#pins.find(out.key)
      if (version !== -1) {
        out.version = version
        out.reason = STICKY
        return null
      }
      out.needsPin = true
    }
    return this.#split
  }

  /** The user key (wire bytes) of a request, null when it has none. */
  keyOf(view: RequestView): string | null {
    return this.#key === null ? null : this.#key.of(view)
  }
}

class Rule {
  readonly name: string
  readonly match: Condition | null
  /** Index of the version it leads to, -1 when it divides its users. */
  readonly version: number
  split: Split | null

  constructor(input: RuleInput, versions: readonly string[], salt: string) {
    this.name = input.name
    this.match = input.match
    this.version = input.version == null ? -1 : versions.indexOf(input.version)
    if (input.version != null && this.version === -1)
      throw new Error(`rule "${input.name}": no version "${input.version}"`)
    // The service's salt: a user keeps its place on the scale when a rule starts or stops matching.
    this.split = input.weights == null ? null : new Split(versions, input.weights, salt)
  }

  /** Keeps to the versions for which `stays` is true; false when it leads to none of them. */
  keep(stays: readonly boolean[]): boolean {
    if (this.split === null) return stays[this.version]!
    if (stays.every(stay => stay)) return true
    this.split = this.split.among(stays)
    return this.split !== null
  }
}
