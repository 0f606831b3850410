/** An answer that is not the one hoped for. */
export class Refused extends Error {
  constructor(status, code, detail) {
    super(detail)
    Object.assign(this, { status, code })
  }
}
