// Tells by its name, or by how it looks, what is secret or personal and must not be kept. It errs on the side of
// hiding: who wants a value all the same names its key in `reveal`.

/** Never shown, wherever they stand: as headers, or in a body that tells of headers. */
const NEVER: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
])
/** Anywhere in a name, which is why there are no short ones. `auth` is no part of author, but of authorize. */
const SECRET_PART =
  /passw|passphrase|secret|token|credential|auth(?!or(?!i))|session|cookie|signature|api[-_. ]?key|(?:access|private|signing|encryption|session)[-_. ]?key|e[-_. ]?mail|phone|mobile|card|iban|birth/i
/** Whole words of a name: pin is one in user_pin, and none in shipping. */
const SECRET_WORDS: ReadonlySet<string> = new Set(
  'pass pwd pin pan otp totp sid ssn dob tel cvv cvc csc bic jwt csrf xsrf'.split(' '),
)
const BETWEEN_WORDS = /[^A-Za-z]+|(?<=[a-z])(?=[A-Z])/
/** A name with its value: `token=…`, `"password": …`, also escaped, `<pin>…`. */
const NAMED_VALUE = /([A-Za-z][\w-]{0,40})[\\"']{0,4}\s{0,4}(?:[=:>]|%3[ad])/gi
/** Credentials of RFC 9110 11.4, a JSON web token, a URL with a user. */
const CREDENTIALS = /\b(?:bearer|basic|digest)\s+[\w+/=.~-]{6,}|\beyJ[\w-]{6,}\.|:\/\/[^\s/?#]{0,200}@/i

/** True for a name that is never revealed, not even by its own name. */
export function isForbidden(name: string): boolean {
  return NEVER.has(name.toLowerCase())
}

/** True for the name of something that looks secret or personal. */
export function looksSecret(name: string): boolean {
  if (isForbidden(name) || SECRET_PART.test(name)) return true
  return name.split(BETWEEN_WORDS).some(word => SECRET_WORDS.has(word.toLowerCase()))
}

/** True for a text that holds a secret-looking name with its value, or credentials by themselves. */
export function holdsSecret(text: string): boolean {
  if (CREDENTIALS.test(text)) return true
  for (const [, name] of text.matchAll(NAMED_VALUE)) if (looksSecret(name!)) return true
  return false
}
