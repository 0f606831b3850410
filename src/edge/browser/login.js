// The login page: what a person sees and does until the session is there.
//
// 1. What is signed stands on the page, letter for letter, while the wallet asks. Where the wallet writes the text, the
//    page shows what it asked for.
// 2. Everything that goes wrong is said in words, with what to do about it, and leaves the page ready for another try.
// 3. Nothing that a wallet, the gateway or the address bar says becomes markup, and the page leaves for our own origin
//    alone.

import { createAPI, readText, signingText } from './siwx.js'
import { WalletError, findWallets } from './wallets.js'

const api = createAPI()
const page = JSON.parse(document.body.dataset.page)
const $ = (id) => document.getElementById(id)

// Extensions announce themselves when they please; until then nobody is told that there are none.
const LOOKING_MS = 600

// What the gateway wrote into the page.
const [TITLE, WHY] = ['title', 'why'].map((id) => $(id).textContent)

const STATEMENT = 'Sign in. This is free and sends no transaction.'

const FAMILIES = { eip155: 'Ethereum', solana: 'Solana' }

// Networks by the names people know. Others are shown by their CAIP-2 id.
const NETWORKS = {
  'eip155:1': 'Ethereum',
  'eip155:10': 'OP Mainnet',
  'eip155:56': 'BNB Smart Chain',
  'eip155:100': 'Gnosis',
  'eip155:137': 'Polygon',
  'eip155:8453': 'Base',
  'eip155:42161': 'Arbitrum One',
  'eip155:43114': 'Avalanche',
  'eip155:84532': 'Base Sepolia',
  'eip155:11155111': 'Sepolia',
  'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp': 'Solana',
  'solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z': 'Solana testnet',
  'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1': 'Solana devnet',
}

// Solana's chains as its wallets write them; the first of those that are taken here is signed for.
const CLUSTERS = {
  'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp': 'mainnet',
  'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1': 'devnet',
  'solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z': 'testnet',
}

const networkName = (chainId) => NETWORKS[chainId] ?? chainId
const short = (address) => `${address.slice(0, 6)}…${address.slice(-4)}`
const date = (time) => new Date(time).toLocaleDateString('en', { dateStyle: 'medium' })

// What the gateway takes: `{ chains, statement }`.
let config
let wallets = []
// Counts attempts: an answer to one that was given up is not heard.
let attempt = 0
let choosing = false
let signedIn = false

// === what is on the page ===

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties)
  made.append(...children)
  return made
}

/** Shows one of the sections that exclude each other, or none; with `accounts`, what is signed in already beside it. */
function show(id, { accounts = false } = {}) {
  for (const section of ['choice', 'nothing', 'signing']) $(section).hidden = section !== id
  $('accounts').hidden = !(accounts && signedIn)
}

function title(text, why) {
  $('title').textContent = text
  $('why').textContent = why
  document.title = `${text} · ${location.host}`
}

function say(status) {
  $('status').textContent = status
}

/** Says what went wrong; `act` is the label of a button and what it does. */
function complain(text, act) {
  say('')
  $('problem').replaceChildren(text)
  if (!act) return
  const button = element('button', { type: 'button', textContent: act.label })
  button.addEventListener('click', act.run)
  $('problem').append(button)
}

function calm() {
  $('problem').replaceChildren()
}

function showOffers() {
  if (page.offers.length === 0) return
  const words = ({ plan, price, atMost, token, network }) => {
    const what = element('strong', { textContent: `${atMost ? 'up to ' : ''}${price}` })
    const how = `${plan === null ? '' : ` for the plan ${plan},`} in ${token ?? 'a token'} on ${networkName(network)}`
    return element('li', {}, what, how)
  }
  const terms = (offer) => {
    const rows = { Network: offer.network, Amount: offer.amount, Token: offer.asset, 'Paid to': offer.payTo }
    const lines = Object.entries(rows).map(([term, text]) => [
      element('dt', { textContent: term }),
      element('dd', { textContent: text }),
    ])
    return element('dl', {}, ...lines.flat())
  }
  $('prices').replaceChildren(...page.offers.map(words))
  $('terms').append(...page.offers.map(terms))
  $('offers').hidden = false
}

// === wallets ===

const taken = (family) => config.chains.some((chain) => chain.startsWith(`${family}:`))

function walletsChanged(all) {
  wallets = all
  if (choosing) choose()
}

function listWallets() {
  const usable = wallets.filter(({ family }) => taken(family))
  const names = usable.map(({ name, family }) => `${name} ${family}`)
  const isDouble = ({ name, family }) => names.filter((other) => other === `${name} ${family}`).length > 1
  // Buttons that are there stay, and with them the focus.
  const there = new Map(Array.from($('wallets').children, (item) => [item.dataset.id, item]))
  const items = usable.map((wallet) => there.get(wallet.id) ?? walletItem(wallet, isDouble(wallet)))
  for (const item of there.values()) if (!items.includes(item)) item.remove()
  for (const item of items) if (!item.isConnected) $('wallets').append(item)

  if (usable.length > 0) $('preview').textContent = preview(usable[0])
  return usable.length > 0
}

function walletItem(wallet, isDouble) {
  const image = wallet.icon
    ? element('img', { src: wallet.icon, alt: '' })
    : element('span', { className: 'letter', ariaHidden: 'true', textContent: [...wallet.name][0] })
  const name = element('span', { className: 'name' }, element('bdi', { textContent: wallet.name }))
  if (isDouble && wallet.hint) name.append(' ', element('bdi', { className: 'aside', textContent: wallet.hint }))
  const family = element('span', { className: 'aside', textContent: FAMILIES[wallet.family] })
  const button = element('button', { type: 'button', className: 'wallet' }, image, name, family)
  button.addEventListener('click', () => signIn(wallet))
  const item = element('li', {}, button)
  item.dataset.id = wallet.id
  return item
}

function choose() {
  choosing = true
  if (listWallets()) {
    say('')
    return show('choice', { accounts: true })
  }
  say('Looking for wallets…')
  setTimeout(() => {
    if (!choosing || listWallets()) return
    say('')
    show('nothing', { accounts: true })
  }, LOOKING_MS)
}

// === signing in ===

function message(family, changes) {
  const { host: domain, origin: uri } = location
  const statement = config.statement ?? STATEMENT
  return { domain, uri, version: '1', statement, issuedAt: new Date().toISOString(), ...changes }
}

// Each in the words of its family: EIP-4361, and Sign In With Solana.
function textOf(family, data) {
  return family === 'eip155'
    ? signingText(data, { label: 'Ethereum', chainId: data.chainId.split(':')[1], emptyLines: 2 })
    : signingText(data, { label: 'Solana', chainId: cluster(data.chainId) })
}

const cluster = (chainId) => CLUSTERS[chainId] ?? chainId.split(':')[1]

function preview({ family }) {
  const chainId = family === 'solana' ? solanaChain() : (config.chains.find((chain) => /^eip155:\d/.test(chain)) ?? 'eip155:1')
  const data = message(family, { accountAddress: '(your address)', chainId, nonce: '(new each time)' })
  return textOf(family, data)
}

function solanaChain() {
  const chains = Object.keys(CLUSTERS)
  const wanted = config.chains.filter((chain) => chain.startsWith('solana:'))
  return chains.find((chain) => wanted.includes(chain) || wanted.includes('solana:*')) ?? wanted[0]
}

async function signIn(wallet) {
  const mine = ++attempt
  const given = () => mine !== attempt
  choosing = false
  calm()
  show('signing')
  $('signed').hidden = true
  $('cancel').hidden = false
  say(`Waiting for ${wallet.name}. Open it if it does not open by itself.`)
  $('signing').focus()

  const showText = (text) => {
    $('text').textContent = text
    $('signed').hidden = false
    say(`Confirm in ${wallet.name}. It shows you this text.`)
  }
  try {
    const session = await (wallet.signIn ? signFields(wallet, showText, given) : signText(wallet, showText, given))
    if (given()) return
    say('Checking the signature…')
    $('cancel').hidden = true
    await api('POST', '/sessions', session)
    // A browser that keeps no cookies for us would come back to this page for ever.
    const { sessions } = await api('GET', '/sessions')
    if (sessions.length === 0) throw new WalletError('no_cookie', '')
    say('Signed in. Opening the page…')
    leave()
  } catch (error) {
    if (!given()) failed(wallet, error)
  }
}

/** With a wallet that signs the text it is given. */
async function signText(wallet, showText, given) {
  const account = await wallet.connect()
  const chainId = wallet.family === 'solana' ? solanaChain() : account.chainId
  if (!takes(chainId)) throw new WrongNetwork(chainId)
  const { nonce } = await api('GET', '/nonce')
  if (given()) return null
  const data = message(wallet.family, { accountAddress: account.address, chainId, nonce })
  const text = textOf(wallet.family, data)
  showText(text)
  return { data, ...(await wallet.sign(text, account)) }
}

/** With a wallet that writes the text itself. */
async function signFields(wallet, showText, given) {
  const chainId = solanaChain()
  const { nonce } = await api('GET', '/nonce')
  if (given()) return null
  const said = message(wallet.family, { nonce })
  showText(textOf(wallet.family, { ...said, accountAddress: '(your address)', chainId }))
  const { address, ...proof } = await wallet.signIn({ ...said, chainId: cluster(chainId) })
  // What counts is what the wallet wrote.
  return { data: { ...readText(proof.message), accountAddress: address, chainId }, ...proof }
}

const takes = (chainId) => config.chains.some((chain) => chain === chainId || chain === `${chainId.split(':')[0]}:*`)

class WrongNetwork extends Error {
  constructor(chainId) {
    super()
    this.chainId = chainId
  }
}

/** Goes where the person wanted to go. */
function leave() {
  if (page.return === null) return location.reload()
  location.replace(destination())
}

function destination() {
  const url = new URL(page.return ?? '/', location.origin)
  return url.origin === location.origin ? url.href : location.origin
}

function failed(wallet, error) {
  const words = wordsFor(wallet, error)
  choose()
  complain(words.text, words.act)
  const button = words.act ? $('problem').querySelector('button') : $('wallets').querySelector(`[data-id="${wallet.id}"] button`)
  button?.focus()
}

function wordsFor(wallet, error) {
  const { name } = wallet
  if (error instanceof WrongNetwork) {
    const wanted = config.chains.filter((chain) => chain.startsWith('eip155:'))
    const list = wanted.map(networkName).join(', ')
    return {
      text: `${name} is on ${networkName(error.chainId)}, which is not taken here. Switch it to ${list}.`,
      act: { label: `Switch to ${networkName(wanted[0])}`, run: () => switchAndSignIn(wallet, wanted[0]) },
    }
  }
  if (error instanceof WalletError) {
    const texts = {
      refused: `You declined in ${name}. Nothing was signed.`,
      busy: `${name} is waiting for an answer to an earlier question. Open it, answer there, and try again.`,
      no_account: `${name} shared no account. Unlock it, choose an account there, and try again.`,
      unknown_chain: `${name} does not know this network. Add it there first, and try again.`,
      other_text: `${name} signed another text than it was asked for. Nothing was sent; try another wallet.`,
      no_cookie: 'The sign-in worked, but your browser did not keep its cookie. Allow cookies for this site and try again.',
    }
    return { text: texts[error.kind] ?? `${name} could not sign: ${error.message}` }
  }
  return { text: gatewayWords(error, 'The signature was refused') }
}

function gatewayWords(error, refused) {
  if (error.code === 'unreachable') {
    return navigator.onLine ? `${error.message}. Try again in a moment.` : 'You are offline. Connect to the network and try again.'
  }
  if (error.status >= 500 || error.status === 429) return `This does not work at the moment: ${error.message}.`
  return error.status ? `${refused}: ${error.message}.` : `Something went wrong on this page: ${error.message}.`
}

async function switchAndSignIn(wallet, chainId) {
  try {
    await wallet.switchTo(chainId)
  } catch (error) {
    return failed(wallet, error)
  }
  return signIn(wallet)
}

// === signed in ===

async function showAccounts() {
  const me = await api('GET', '/me')
  $('account-list').replaceChildren(...me.accounts.map((account) => accountItem(account, me)))
  $('continue').hidden = page.return === null
  $('continue').href = destination()
  signedIn = true
  show(null, { accounts: true })
  // Of a refusal the page goes on saying why.
  if (page.code === null) title('Signed in', 'This browser is signed in here.')
}

function accountItem(account, me) {
  const [namespace, reference, address] = account.split(':')
  const used = me.accounts.length > 1 && account === me.account ? ' · in use' : ''
  const name = element('span', { className: 'address', title: address, textContent: short(address) })
  const first = element('p', {}, name, element('span', { className: 'aside', textContent: ` ${networkName(`${namespace}:${reference}`)}${used}` }))
  const item = element('li', { className: 'account' }, first)
  if (me.subscriptions) {
    const held = me.subscriptions.filter((subscription) => subscription.account === account)
    const lines = held.length > 0 ? held.map(planWords) : ['No subscription']
    item.append(...lines.map((textContent) => element('p', { className: 'plan', textContent })))
  }
  return item
}

// Where a gateway sells one thing alone, its plan has no name that anybody chose.
const planWords = ({ plan, expiresAt }) =>
  `${plan === 'default' ? 'Subscribed' : `Plan ${plan}`}${expiresAt ? ` until ${date(expiresAt)}` : ''}`

async function signOut() {
  calm()
  say('Signing out…')
  try {
    await api('POST', '/sign-out', {})
  } catch (error) {
    return complain(gatewayWords(error, 'Signing out was refused'))
  }
  // What a refusal said of the account is not so any more.
  if (page.code !== null) return location.reload()
  signedIn = false
  title(TITLE, WHY)
  choose()
  say('You are signed out.')
  $('title').focus()
}

// === from here ===

async function begin() {
  calm()
  show(null)
  say('One moment…')
  try {
    config = await api('GET', '/config')
    const { sessions } = await api('GET', '/sessions')
    say('')
    if (sessions.length === 0) return choose()
    await showAccounts()
  } catch (error) {
    complain(gatewayWords(error, 'This does not work'), { label: 'Try again', run: begin })
  }
}

$('site').textContent = location.host
title(TITLE, WHY)
$('another').addEventListener('click', () => {
  calm()
  choose()
  $('choice-title').focus()
})
$('sign-out').addEventListener('click', signOut)
$('cancel').addEventListener('click', () => {
  attempt++
  calm()
  choose()
  $('choice-title').focus()
})
showOffers()
const look = findWallets(walletsChanged)
$('look').addEventListener('click', () => {
  show(null, { accounts: true })
  choose()
  look()
})
begin()
