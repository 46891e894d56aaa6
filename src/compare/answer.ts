// An answer as it is compared: what a version sent, before turnout's own edits.

/** Header fields by lower-case name; several lines of one name are joined by ", ". */
export type Headers = Readonly<Record<string, string>>

export type Answer = {
  status: number
  headers: Headers
  /** As sent, with its content coding. */
  body: Buffer
  /** The body went on beyond what is compared. */
  isCut: boolean
}
