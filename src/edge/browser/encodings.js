// What addresses and signatures are written in: hex, base58, and the letter case of Ethereum's addresses.

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

export const utf8 = (text) => new TextEncoder().encode(text)

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

export function base58(bytes) {
  let number = BigInt(`0x0${hex(bytes)}`)
  let digits = ''
  for (; number > 0n; number /= 58n) digits = BASE58[number % 58n] + digits
  // A zero byte in front is a digit of its own.
  const zeros = bytes.findIndex((byte) => byte !== 0)
  return BASE58[0].repeat(zeros < 0 ? bytes.length : zeros) + digits
}

/** An Ethereum address with the letter case of EIP-55: wallets know a sign-in by a well-written address. */
export function checksummed(address) {
  const digits = address.slice(2).toLowerCase()
  const hash = hex(keccak256(utf8(digits)))
  return `0x${Array.from(digits, (digit, at) => (hash[at] >= '8' ? digit.toUpperCase() : digit)).join('')}`
}

// Keccak-256 as Ethereum has it: the padding is Keccak's own and not that of SHA-3 (FIPS 202 has the rest). It hashes
// addresses alone; BigInt is fast enough for that.
export function keccak256(bytes) {
  const rate = 136
  const padded = new Uint8Array((Math.floor(bytes.length / rate) + 1) * rate)
  padded.set(bytes)
  padded[bytes.length] ^= 0x01
  padded[padded.length - 1] ^= 0x80

  const state = Array(25).fill(0n)
  const words = new DataView(padded.buffer)
  for (let block = 0; block < padded.length; block += rate) {
    for (let at = 0; at < rate / 8; at++) state[at] ^= words.getBigUint64(block + at * 8, true)
    permute(state)
  }

  const digest = new DataView(new ArrayBuffer(32))
  for (let at = 0; at < 4; at++) digest.setBigUint64(at * 8, state[at], true)
  return new Uint8Array(digest.buffer)
}

const WORD = (1n << 64n) - 1n
const rotated = (word, by) => ((word << by) | (word >> (64n - by))) & WORD

// Lanes stand at x + 5y, as in FIPS 202 §3.1.2.
function permute(state) {
  let feedback = 1
  for (let round = 0; round < 24; round++) {
    const parity = [0, 1, 2, 3, 4].map((x) => [0, 5, 10, 15, 20].reduce((word, y) => word ^ state[x + y], 0n))
    for (let at = 0; at < 25; at++) state[at] ^= parity[(at + 4) % 5] ^ rotated(parity[(at + 1) % 5], 1n)

    let [x, y, moved] = [1, 0, state[1]]
    for (let step = 1; step <= 24; step++) {
      ;[x, y] = [y, (2 * x + 3 * y) % 5]
      const at = x + 5 * y
      const by = BigInt(((step * (step + 1)) / 2) % 64)
      ;[moved, state[at]] = [state[at], rotated(moved, by)]
    }

    for (let y = 0; y < 25; y += 5) {
      const row = state.slice(y, y + 5)
      for (let x = 0; x < 5; x++) state[x + y] = row[x] ^ (~row[(x + 1) % 5] & WORD & row[(x + 2) % 5])
    }

    // Bits 2^j - 1 of the constant are the output of a shift register (FIPS 202 §3.2.5).
    for (let bit = 0; bit <= 6; bit++) {
      if (feedback & 1) state[0] ^= 1n << BigInt(2 ** bit - 1)
      feedback = feedback & 0x80 ? (feedback << 1) ^ 0x171 : feedback << 1
    }
  }
}
