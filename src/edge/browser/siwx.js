// Sign-In-With-X for dapps: what Reown AppKit asks of a SIWX backend, over the session API of this gateway.
//
// With AppKit:
//
//     import { createSIWX } from 'https://api.example.com/.siwx/siwx.js'
//     createAppKit({ …, siwx: createSIWX() })
//
// With the older `siweConfig` of AppKit, which knows EVM chains alone:
//
//     import { createSIWE } from 'https://api.example.com/.siwx/siwx.js'
//     createAppKit({ …, siweConfig: createSIWEConfig(createSIWE({ chains: [1, 8453] })) })
//
// The origin of the dapp has to be among `auth.origins` of the gateway, unless the gateway serves the dapp itself. A
// dapp that bundles a copy of this file says where the gateway is: `createSIWX({ gateway: 'https://api.example.com' })`.
// Requests to the gateway then carry the session: `fetch(url, { credentials: 'include' })`.
//
// 1. It is one file without dependencies, and keeps nothing: the session is a cookie that no script can read.
// 2. `getSessions` never throws, since AppKit disconnects the wallet of whoever is not signed in when it does. What
//    cannot be known counts as not signed in, and the console says why.
// 3. Everything else that goes wrong is a `GatewayError` whose message is the sentence that the gateway answered.
// 4. Each write gives the cookie a new value. Requests that need the cookie wait for a write, and a write for them, or a
//    reading that overtakes one would find nobody signed in.

// Contract wallets are asked over RPC, for 5 s at most; the rest is the way there and back.
const TIMEOUT_MS = 30_000

const PREFIX = '/.siwx'

// What a chain family is called in the first line of a message. `eip155` is called what wallets look for; AppKit's own
// word for it is used only where it would be: for a network that the dapp has not named.
const LABELS = {
  eip155: 'Ethereum',
  solana: 'Solana',
  bip122: 'Bitcoin',
  polkadot: 'Polkadot',
  cosmos: 'Cosmos',
  sui: 'Sui',
  stacks: 'Stacks',
  ton: 'TON',
  tron: 'TRON',
}
const UNNAMED_EVM = 'EVM Networks'

/** What the gateway refused, or why it was not reached. */
export class GatewayError extends Error {
  name = 'GatewayError'

  /** `status` is HTTP's, 0 if there was no answer; `code` is stable; `index` names the one of several sessions. */
  constructor(detail, { status = 0, code = 'unreachable', index, cause } = {}) {
    super(detail, { cause })
    Object.assign(this, { status, code, index })
  }
}

/**
 * The session API as a function of method, path and JSON.
 *
 * Without options it is the one that this module came from. `gateway` is the origin of another, `prefix` where its
 * session API is.
 */
export function createAPI({ gateway, prefix } = {}) {
  const own = gateway === undefined && prefix === undefined
  const base = own ? new URL('.', import.meta.url) : new URL(`${prefix ?? PREFIX}/`, gateway ?? import.meta.url)

  return async function api(method, path, body) {
    let response, text
    try {
      // The mode stays `cors`, also for our own origin: in every other the page's `Referrer-Policy: no-referrer` turns
      // `Origin` into `null`, which the gateway refuses.
      response = await fetch(`${base.href.replace(/\/$/, '')}${path}`, {
        method,
        credentials: 'include',
        cache: 'no-store',
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      })
      text = await response.text()
    } catch (cause) {
      throw new GatewayError(`${base.host} cannot be reached`, { cause })
    }
    const answer = parsed(text)
    if (response.ok) return answer
    throw new GatewayError(answer?.detail || `${base.host} answered with status ${response.status}`, {
      status: response.status,
      code: answer?.code ?? 'unknown',
      index: answer?.index,
    })
  }
}

/**
 * AppKit's `SIWXConfig`. All options may be left out:
 *
 * `gateway`, `prefix`      where the session API is
 * `networks`               AppKit's own list: messages then name a network as AppKit does, and the gateway has to list
 *                          those names in `session.labels`
 * `statement`, `resources` lines of the message
 * `expiration`             milliseconds after which the message, and with it the session, ends
 * `domain`, `uri`          where they are not those of the page
 * `getRequestId`           makes a request id
 * `clearChainIdNamespace`  write `Chain ID: 1` in place of `Chain ID: eip155:1`
 * `required`               whether a wallet that refuses to sign is disconnected; true
 * `signOutOnDisconnect`    whether disconnecting the wallet ends the sessions; true
 */
export function createSIWX(options = {}) {
  const api = createAPI(options)
  const { alone, together } = turns()

  return {
    signOutOnDisconnect: options.signOutOnDisconnect ?? true,

    async createMessage({ accountAddress, chainId, notBefore }) {
      const { domain, uri } = page(options)
      const begins = notBefore ? new Date(notBefore) : undefined
      const { nonce } = await api('GET', '/nonce')
      const data = {
        accountAddress,
        chainId,
        version: '1',
        domain,
        uri,
        statement: options.statement,
        resources: options.resources,
        nonce,
        requestId: await options.getRequestId?.(),
        expirationTime:
          options.expiration === undefined
            ? undefined
            : new Date((begins?.getTime() ?? Date.now()) + options.expiration).toISOString(),
        issuedAt: new Date().toISOString(),
        notBefore: begins?.toISOString(),
      }
      return { ...data, toString: () => informalText(data, options) }
    },

    async addSession(session) {
      await alone(() => api('POST', '/sessions', session))
    },

    async setSessions(sessions) {
      await alone(() => api('PUT', '/sessions', { sessions }))
    },

    async revokeSession(chainId, address) {
      await alone(() => api('DELETE', `/sessions?${new URLSearchParams({ chainId, address })}`))
    },

    async getSessions(chainId, address) {
      try {
        const answer = await together(() => api('GET', `/sessions?${new URLSearchParams({ chainId, address })}`))
        return answer.sessions
      } catch (error) {
        console.warn('siwx: whether this account is signed in cannot be told:', error)
        return []
      }
    },

    getRequired: () => options.required ?? true,
  }
}

/**
 * The functions of AppKit's `siweConfig`: nonce, message, verify, session, sign-out; and the parameters of the message,
 * which newer versions ask for first.
 *
 * `chains` are numbers; they go into the message only where a wallet signs for several at once. The other options are
 * those of `createSIWX`.
 */
export function createSIWE(options = {}) {
  const api = createAPI(options)

  return {
    async getMessageParams() {
      return { ...page(options), chains: options.chains ?? [], statement: options.statement, resources: options.resources }
    },

    async getNonce() {
      return (await api('GET', '/nonce')).nonce
    },

    /** The text of EIP-4361. An address may come plain, as `eip155:1:0x…`, or as `did:pkh:eip155:1:0x…`. */
    createMessage(said) {
      const times = { issuedAt: said.iat, expirationTime: said.exp, notBefore: said.nbf }
      const data = { ...said, ...times, accountAddress: said.address.split(':').at(-1) }
      return signingText(data, { label: LABELS.eip155, emptyLines: 2 })
    },

    async verifyMessage({ message, signature, cacao, data }) {
      const text = readText(message)
      await api('POST', '/sessions', { data: data ?? { ...text, chainId: `eip155:${text.chainId}` }, message, signature, cacao })
      return true
    },

    async getSession() {
      const { sessions } = await api('GET', '/sessions')
      const evm = sessions.filter(({ data }) => data.chainId.startsWith('eip155:'))
      const newest = evm.reduce((best, session) => (best?.createdAt > session.createdAt ? best : session), null)
      return newest && { address: newest.data.accountAddress, chainId: Number(newest.data.chainId.split(':')[1]) }
    },

    async signOut() {
      await api('POST', '/sign-out', {})
      return true
    },
  }
}

/**
 * What a wallet signs (CAIP-122), from the fields of a message.
 *
 * `label` names the chain family, `chainId` is the chain as this dialect writes it, and `emptyLines` how many lines stand
 * empty where there is no statement: two in EIP-4361, one in all others.
 */
export function signingText(data, { label, chainId = data.chainId, emptyLines = 1 }) {
  return [
    ...[`${data.domain} wants you to sign in with your ${label} account:`, data.accountAddress],
    ...(data.statement ? ['', data.statement, ''] : Array(emptyLines).fill('')),
    ...[`URI: ${data.uri}`, `Version: ${data.version}`, `Chain ID: ${chainId}`, `Nonce: ${data.nonce}`],
    ...(data.issuedAt ? [`Issued At: ${data.issuedAt}`] : []),
    ...(data.expirationTime ? [`Expiration Time: ${data.expirationTime}`] : []),
    ...(data.notBefore ? [`Not Before: ${data.notBefore}`] : []),
    ...(data.requestId ? [`Request ID: ${data.requestId}`] : []),
    ...(data.resources?.length ? ['Resources:', ...data.resources.map((resource) => `- ${resource}`)] : []),
  ].join('\n')
}

// The text of AppKit's `InformalMessenger`, byte for byte.
function informalText(data, { networks, clearChainIdNamespace }) {
  const [namespace, reference] = data.chainId.split(':')
  const named = networks?.find((network) => network.caipNetworkId === data.chainId)?.name
  const label = named ?? (networks && namespace === 'eip155' ? UNNAMED_EVM : (LABELS[namespace] ?? namespace))
  return signingText(data, { label, chainId: clearChainIdNamespace ? reference : data.chainId }).trim()
}

/** What a signing text says, where no more than the text is there. The gateway reads the text itself. */
export function readText(text) {
  const lines = text.split('\n')
  // A statement stands above the fields, and may look like one.
  const after = (tag) => lines.findLast((line) => line.startsWith(tag))?.slice(tag.length)
  return {
    accountAddress: lines[1],
    chainId: after('Chain ID: '),
    version: after('Version: '),
    domain: lines[0].split(' ')[0],
    uri: after('URI: '),
    nonce: after('Nonce: '),
    issuedAt: after('Issued At: '),
    expirationTime: after('Expiration Time: '),
    notBefore: after('Not Before: '),
  }
}

function page({ domain, uri }) {
  const { location } = globalThis
  if (!location && !(domain && uri)) throw new Error('a message names the page that asks for it, and there is no page')
  return { domain: domain ?? location.host, uri: uri ?? location.href }
}

function parsed(text) {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

// Runs of two kinds: those together with others, and those alone, in the order in which they came.
function turns() {
  let last = Promise.resolve()
  const running = new Set()

  return {
    alone(run) {
      const before = Promise.allSettled([last, ...running])
      const result = before.then(run)
      last = result.catch(() => {})
      return result
    },
    together(run) {
      const result = last.then(run)
      const settled = result.catch(() => {})
      running.add(settled)
      settled.then(() => running.delete(settled))
      return result
    },
  }
}
