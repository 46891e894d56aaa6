// What a row of the counters counts. The control plane gives each series its row (control/rows.ts); the
// metrics turn the series into labels.

export type Series =
  | { kind: 'route'; route: string; service: string; version: string }
  | { kind: 'version'; service: string; version: string }
  | { kind: 'endpoint'; service: string; version: string; endpoint: string }
  | { kind: 'listener'; listener: string }
  /** `version` is the shadow. */
  | { kind: 'mirror'; service: string; version: string }

/** A series and where it is counted. */
export type SeriesRow = { readonly series: Series; readonly row: number }
