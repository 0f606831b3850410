// A person signs in on the login page, with wallets of every kind and with everything that can go wrong.
//
// It runs against the mock, or against the gateway that SIWX_URL names; what only the mock can be told to do is skipped
// there. Of a gateway it expects what `gateway.py` configures: `/me` for a wallet, the rest for a subscription.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { launch, real, startGateway, visit } from './browser.js'
import { BUSY, EvmWallet, REFUSES, SolanaWallet } from './wallets.js'

const mockOnly = { skip: real && 'a gateway cannot be told to do this' }
const never = () => new Promise(() => {})

let browser

before(async () => {
  browser = await launch()
})

after(() => browser.close())

/** Runs a test in a fresh context with these wallets, in front of a fresh gateway. */
async function opened(wallets, run, { gateway: configured = {}, ...options } = {}) {
  const gateway = await startGateway(configured)
  const visited = await visit(browser, wallets, { places: [gateway.url], ...options })
  try {
    await run({ ...gateway, ...visited, click: (name) => visited.page.getByRole('button', { name }).click() })
    visited.check()
  } finally {
    await visited.close()
    await gateway.close()
  }
}

/** What the page got in the end, as the service behind the gateway answered it. */
const goods = async (page) => {
  await page.waitForFunction(() => document.contentType === 'application/json')
  return JSON.parse(await page.locator('body').innerText())
}

const problem = (page) => page.getByRole('alert')

async function complaint(page, expected) {
  await page.waitForFunction(() => document.querySelector('#problem').textContent !== '')
  assert.match(await problem(page).innerText(), expected)
}

const sessionCookies = async (context) => (await context.cookies()).filter(({ name }) => /siwx/.test(name))

describe('signing in', () => {
  test('with an EVM wallet, on the page that was refused', async () => {
    const wallet = new EvmWallet()
    await opened([wallet], async ({ page, url, click, context }) => {
      const refused = await page.goto(`${url}/me`)
      assert.equal(refused.status(), 401)
      assert.match(refused.headers()['www-authenticate'] ?? 'SIWX', /^SIWX/)
      await page.getByText('This page opens for wallets that sign in.').waitFor()
      await click('Meadow')
      await goods(page)

      assert.equal(page.url(), `${url}/me`)
      const [text] = wallet.signed
      const { host } = new URL(url)
      const expected = new RegExp(
        `^${host} wants you to sign in with your Ethereum account:\n${wallet.address}\n\n.+\n\n` +
          `URI: ${url}\nVersion: 1\nChain ID: 1\nNonce: [0-9A-Za-z]{8,}\nIssued At: \\S+Z$`,
      )
      assert.match(text, expected)
      const [cookie] = await sessionCookies(context)
      assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, 'Lax'])
    })
  })

  test('what is signed stands on the page, letter for letter, while the wallet asks', async () => {
    const wallet = new EvmWallet()
    let finish
    const asked = new Promise((resolve) => {
      wallet.behaves.personal_sign = (params) => {
        resolve()
        return new Promise((go) => (finish = () => go(wallet.personal_sign(params))))
      }
    })
    await opened([wallet], async ({ page, url, click }) => {
      await page.goto(`${url}/me`)
      await click('Meadow')
      await asked
      const shown = await page.locator('#text').textContent()
      assert.match(await page.getByRole('status').innerText(), /Confirm in Meadow/)
      finish()
      await goods(page)
      assert.equal(shown, wallet.signed[0])
    })
  })

  test('before anything is asked, the page shows what will be signed', async () => {
    await opened([new EvmWallet()], async ({ page, url }) => {
      await page.goto(`${url}/me`)
      await page.getByText('What you will sign').click()
      const text = await page.getByLabel('The text you will sign').innerText()
      assert.match(text, /wants you to sign in with your Ethereum account:\n\(your address\)/)
    })
  })

  for (const [name, wallet] of [
    ['that signs in (solana:signIn)', new SolanaWallet()],
    ['that signs messages (solana:signMessage)', new SolanaWallet({ features: ['signMessage'] })],
    ['of the older kind that signs in (window.phantom)', new SolanaWallet({ name: 'Phantom', announced: 'phantom' })],
    ['of the older kind that signs messages', new SolanaWallet({ name: 'Phantom', announced: 'phantom', features: ['signMessage'] })],
  ]) {
    test(`with a Solana wallet ${name}`, async () => {
      await opened([wallet], async ({ page, url, click }) => {
        await page.goto(`${url}/me`)
        await click(wallet.name)
        const { account } = await goods(page)
        if (!real) assert.equal(account, wallet.account())
        assert.match(wallet.signed[0], /wants you to sign in with your Solana account:\n[1-9A-HJ-NP-Za-km-z]{32,44}\n\n/)
        assert.match(wallet.signed[0], /\nChain ID: mainnet\n/)
      })
    })
  }

  test('with a wallet that left itself on window.ethereum', async () => {
    const wallet = new EvmWallet({ announced: 'window' })
    await opened([wallet], async ({ page, url, click }) => {
      await page.goto(`${url}/me`)
      await click('Browser wallet')
      await goods(page)
      assert.equal(wallet.signed.length, 1)
    })
  })

  test('window.ethereum is not listed beside wallets that announce themselves', async () => {
    await opened([new EvmWallet({ announced: 'window' }), new EvmWallet()], async ({ page, url }) => {
      await page.goto(`${url}/me`)
      await page.getByRole('button', { name: 'Meadow' }).waitFor()
      assert.equal(await page.locator('.wallet').count(), 1)
    })
  })

  test('leads to where the link to the page said', async () => {
    await opened([new EvmWallet()], async ({ page, url, click }) => {
      await page.goto(`${url}/.siwx/login?return=${encodeURIComponent('/status?a=1&b=2#c')}`)
      await click('Meadow')
      await goods(page)
      assert.equal(page.url(), `${url}/status?a=1&b=2#c`)
    })
  })

  for (const elsewhere of ['//evil.example/', 'https://evil.example/', '/\\evil.example/', 'javascript:alert(1)', '/\t/evil.example/']) {
    test(`never leads elsewhere: ${JSON.stringify(elsewhere)}`, async () => {
      const wallet = new EvmWallet()
      await opened([wallet], async ({ page, url, click }) => {
        await page.goto(`${url}/.siwx/login?return=${encodeURIComponent(elsewhere)}`)
        await Promise.all([page.waitForURL((to) => to.pathname !== '/.siwx/login'), click('Meadow')])
        assert.equal(new URL(page.url()).origin, url)
      })
    })
  }

  test('on a page with a fragment loads the page, which a link to itself would not', async () => {
    await opened([new EvmWallet()], async ({ page, url, click }) => {
      await page.goto(`${url}/me#part`)
      await click('Meadow')
      await goods(page)
      assert.equal(page.url(), `${url}/me#part`)
    })
  })

  test('by the keyboard alone', async () => {
    const wallet = new EvmWallet()
    await opened([wallet, new SolanaWallet()], async ({ page, url }) => {
      await page.goto(`${url}/me`)
      await page.getByRole('button', { name: 'Sundial' }).waitFor()
      const focused = () => page.evaluate(() => document.activeElement.innerText.split('\n')[0])
      const outline = () => page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle)
      const order = []
      for (let press = 0; press < 3; press++) {
        await page.keyboard.press('Tab')
        order.push(await focused())
        assert.equal(await outline(), 'solid', order.at(-1))
      }
      assert.deepEqual(order, ['Meadow', 'Sundial', 'What you will sign'])
      await page.keyboard.press('Shift+Tab')
      await page.keyboard.press('Shift+Tab')
      await page.keyboard.press('Enter')
      await goods(page)
      assert.equal(wallet.signed.length, 1)
    })
  })
})

describe('wallets', () => {
  test('two are listed, each with its chain', async () => {
    await opened([new EvmWallet(), new SolanaWallet()], async ({ page, url }) => {
      await page.goto(`${url}/me`)
      await page.getByRole('button', { name: 'Sundial' }).waitFor()
      const names = (await page.locator('.wallet').allInnerTexts()).map((text) => text.replace(/\s+/g, ' '))
      assert.deepEqual(names, ['Meadow Ethereum', 'Sundial Solana'])
    })
  })

  test('two of one name are told apart', async () => {
    const wallets = [new EvmWallet({ rdns: 'io.first' }), new EvmWallet({ rdns: 'io.second' })]
    await opened(wallets, async ({ page, url, click }) => {
      await page.goto(`${url}/me`)
      await click('io.second')
      await goods(page)
      assert.deepEqual(
        wallets.map(({ signed }) => signed.length),
        [0, 1],
      )
    })
  })

  test('one that comes late is added, and the focus stays', async () => {
    const late = Object.assign(new SolanaWallet(), { late: true })
    await opened([new EvmWallet(), late], async ({ page, url }) => {
      await page.goto(`${url}/me`)
      await page.getByRole('button', { name: 'Meadow' }).focus()
      await page.evaluate(() => window.announceLate())
      await page.getByRole('button', { name: 'Sundial' }).waitFor()
      assert.match(await page.evaluate(() => document.activeElement.innerText), /Meadow/)
    })
  })

  for (const [announced, how] of [
    ['window', 'and sees one that comes'],
    ['silent', 'and looks again when asked'],
  ]) {
    test(`none is found: the page says what to do, ${how}`, async () => {
      const late = Object.assign(new EvmWallet({ announced }), { late: true })
      await opened([late], async ({ page, url, click }) => {
        await page.goto(`${url}/me`)
        await page.getByRole('heading', { name: 'No wallet found' }).waitFor()
        await page.getByText('install a wallet').waitFor()
        await page.evaluate(() => window.announceLate())
        if (announced === 'silent') await click('Look again')
        await page.getByRole('button', { name: 'Browser wallet' }).waitFor()
      })
    })
  }

  test('names that are markup, or turn the writing, are text; long ones are cut', async () => {
    const names = ['<img src=x onerror=alert(1)>', 'Me\u202etasaM\u200b\u0000\n  x', 'L'.repeat(5000), '', ' \u2066 ']
    const wallets = names.map((name, at) => new EvmWallet({ name, rdns: `<b>${at}</b>` }))
    await opened(wallets, async ({ page, url }) => {
      await page.goto(`${url}/me`)
      await page.locator('.wallet').nth(4).waitFor()
      const shown = await page.locator('.wallet .name > bdi:first-child').allTextContents()
      assert.deepEqual(shown, ['<img src=x onerror=alert(1)>', 'Me tasaM x', `${'L'.repeat(39)}…`, 'Browser wallet', 'Browser wallet'])
      assert.equal(await page.locator('.wallet .name img, .wallet .name b').count(), 0)
    })
  })

  test('icons are shown as data: images and not otherwise', async () => {
    const script = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(2)</script></svg>'
    const icons = [
      ['an image elsewhere', 'https://evil.example/pixel.png', 0],
      ['a page', 'data:text/html,<script>alert(1)</script>', 0],
      ['a script', 'javascript:alert(1)', 0],
      ['a blob', 'blob:https://evil.example/1', 0],
      ['no text', 7, 0],
      ['a huge image', `data:image/png;base64,${'A'.repeat(300_000)}`, 0],
      ['a picture with scripts', `data:image/svg+xml,${encodeURIComponent(script)}`, 1],
      ['a picture', undefined, 1],
    ]
    const wallets = icons.map(([name, icon]) => new EvmWallet({ name, icon }))
    await opened(wallets, async ({ page, url }) => {
      page.on('dialog', (dialog) => assert.fail(dialog.message()))
      await page.goto(`${url}/me`)
      await page.locator('.wallet').nth(icons.length - 1).waitFor()
      for (const [name, , images] of icons) {
        assert.equal(await page.getByRole('button', { name, exact: false }).first().locator('img').count() > 0, images > 0, name)
      }
    })
  })

  test('announcements that are broken, or without end, hurt nobody', async () => {
    await opened([new EvmWallet()], async ({ page, context, url }) => {
      await context.addInitScript(() => {
        const announce = (detail) => window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail }))
        const register = (callback) => window.dispatchEvent(new CustomEvent('wallet-standard:register-wallet', { detail: callback }))
        window.addEventListener('eip6963:requestProvider', () => {
          for (const detail of [null, {}, { info: {} }, { info: { uuid: 'a', name: 'No provider' } }, { info: null, provider: {} }]) announce(detail)
          const hostile = { info: { uuid: 'b', name: { toString: () => { throw new Error('no name') } } }, provider: { request() {} } }
          announce(hostile)
          for (let at = 0; at < 500; at++) announce({ info: { uuid: `many ${at}`, name: `Many ${at}` }, provider: { request() {} } })
        })
        register(null)
        register(({ register }) => register({}, null, { chains: 7 }, { chains: ['solana:mainnet'], features: {} }))
      })
      await page.goto(`${url}/me`)
      await page.getByRole('button', { name: 'Meadow' }).waitFor()
      assert.equal(await page.locator('.wallet').count(), 32)
    })
  })

  test('those of chains that are not taken are not listed', mockOnly, async () => {
    const configured = { gateway: { chains: ['solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'] } }
    const wallet = new SolanaWallet()
    await opened(
      [new EvmWallet(), wallet],
      async ({ page, url, click }) => {
        await page.goto(`${url}/me`)
        await click('Sundial')
        await goods(page)
        assert.match(wallet.signed[0], /\nChain ID: devnet\n/)
      },
      configured,
    )
  })
})

describe('what goes wrong is said in words', () => {
  /** The page after this wallet was chosen, with what it says and another try. */
  async function afterChoosing(wallet, expected, run = () => {}, options = {}) {
    await opened(
      [wallet],
      async (opened) => {
        const { page, url, click, mock } = opened
        await page.goto(`${url}/me`)
        await page.getByRole('button', { name: wallet.name }).waitFor()
        if (mock) mock.asked.length = 0
        await click(wallet.name)
        await complaint(page, expected)
        await run(opened)
      },
      options,
    )
  }

  async function triesAgain({ page, click }, wallet) {
    wallet.behaves = {}
    await click(wallet.name)
    await goods(page)
  }

  for (const method of ['eth_requestAccounts', 'personal_sign']) {
    test(`the person declines (${method}), and tries again`, async () => {
      const wallet = new EvmWallet()
      wallet.behaves[method] = REFUSES
      await afterChoosing(wallet, /^You declined in Meadow\. Nothing was signed\.$/, async (opened) => {
        assert.match(await opened.page.evaluate(() => document.activeElement.innerText), /Meadow/)
        await triesAgain(opened, wallet)
      })
    })
  }

  for (const features of [['signIn'], ['signMessage']]) {
    test(`the person declines in a Solana wallet (${features})`, async () => {
      const wallet = new SolanaWallet({ features })
      wallet.behaves[features[0]] = { message: 'The user declined the request' }
      await afterChoosing(wallet, /^You declined in Sundial\. Nothing was signed\.$/, (opened) => triesAgain(opened, wallet))
    })
  }

  test('the wallet waits for an earlier answer', async () => {
    const wallet = new EvmWallet()
    wallet.behaves.eth_requestAccounts = BUSY
    await afterChoosing(wallet, /^Meadow is waiting for an answer to an earlier question\./)
  })

  test('the wallet shares no account', async () => {
    const wallet = new EvmWallet()
    wallet.behaves.eth_requestAccounts = () => []
    await afterChoosing(wallet, /^Meadow shared no account\./, (opened) => triesAgain(opened, wallet))
  })

  test('the wallet fails with words of its own, which are text', async () => {
    const wallet = new EvmWallet()
    wallet.behaves.personal_sign = { code: -32603, message: '<b>Ledger:</b> blind signing\u202e is off' }
    await afterChoosing(wallet, /^Meadow could not sign: <b>Ledger:<\/b> blind signing is off$/)
  })

  test('the wallet signs another text than it was asked for', async () => {
    const wallet = new SolanaWallet()
    wallet.behaves.signIn = () => wallet.signMessage(Array.from(Buffer.from('send all my tokens to evil.example')))
    await afterChoosing(wallet, /^Sundial signed another text than it was asked for\./, ({ mock }) => {
      assert.ok(!mock?.asked.includes('POST /.siwx/sessions'), 'nothing was sent')
    })
  })

  test('the signature is refused, with the sentence of the gateway', async () => {
    const wallet = new EvmWallet()
    const other = new EvmWallet()
    wallet.behaves.personal_sign = ([data]) => other.personal_sign([data, other.address])
    await afterChoosing(wallet, /^The signature was refused: .*signature.*\.$/, (opened) => triesAgain(opened, wallet))
  })

  test('the network of the wallet is not taken: it is switched', mockOnly, async () => {
    const wallet = new EvmWallet({ chainId: 137 })
    const run = async ({ page }) => {
      const button = page.getByRole('button', { name: 'Switch to Base' })
      assert.ok(await button.evaluate((button) => button === document.activeElement), 'the button has the focus')
      await button.click()
      await goods(page)
      assert.match(wallet.signed[0], /\nChain ID: 8453\n/)
    }
    const options = { gateway: { chains: ['eip155:8453', 'eip155:1'] } }
    await afterChoosing(wallet, /^Meadow is on Polygon, which is not taken here\. Switch it to Base, Ethereum\./, run, options)
  })

  test('the wallet does not know the network to switch to', mockOnly, async () => {
    const wallet = new EvmWallet({ chainId: 137 })
    wallet.behaves.wallet_switchEthereumChain = { code: 4902, message: 'Unrecognized chain ID' }
    const run = async ({ page, click }) => {
      await click('Switch to Base')
      await page.getByText('Meadow does not know this network.').waitFor()
    }
    await afterChoosing(wallet, /^Meadow is on Polygon/, run, { gateway: { chains: ['eip155:8453'] } })
  })

  test('the browser is offline', async () => {
    const wallet = new EvmWallet()
    await opened([wallet], async ({ page, context, url, click }) => {
      await page.goto(`${url}/me`)
      await page.getByRole('button', { name: 'Meadow' }).waitFor()
      await context.setOffline(true)
      await click('Meadow')
      await complaint(page, /^You are offline\./)
      await context.setOffline(false)
      await triesAgain({ page, click }, wallet)
    })
  })

  test('the gateway cannot be reached', mockOnly, async () => {
    await opened([new EvmWallet()], async ({ page, url, click, mock }) => {
      mock.break('GET /.siwx/config')
      await page.goto(`${url}/me`)
      await complaint(page, /^localhost:\d+ cannot be reached\. Try again in a moment\./)
      mock.mend()
      await click('Try again')
      await click('Meadow')
      await goods(page)
    })
  })

  test('the gateway has trouble of its own', mockOnly, async () => {
    await opened([new EvmWallet()], async ({ page, url, click, mock }) => {
      await page.goto(`${url}/me`)
      mock.fail('POST /.siwx/sessions', { status: 503, code: 'store_unavailable', message: 'sessions cannot be kept at the moment' })
      await click('Meadow')
      await complaint(page, /^This does not work at the moment: sessions cannot be kept at the moment\.$/)
    })
  })

  test('the browser keeps no cookie', mockOnly, async () => {
    await opened([new EvmWallet()], async ({ page, url, click, mock, context }) => {
      await page.goto(`${url}/me`)
      mock.fail('POST /.siwx/sessions', { status: 201, code: '', message: '' })
      await click('Meadow')
      await complaint(page, /^The sign-in worked, but your browser did not keep its cookie\./)
      assert.deepEqual(await sessionCookies(context), [])
    })
  })

  test('a signature that comes after the person gave up is not sent', async () => {
    const wallet = new EvmWallet()
    let finish
    const asked = new Promise((resolve) => {
      wallet.behaves.personal_sign = (params) => {
        resolve()
        return new Promise((go) => (finish = () => go(wallet.personal_sign(params))))
      }
    })
    await opened([wallet, new SolanaWallet()], async ({ page, url, click, context, mock }) => {
      await page.goto(`${url}/me`)
      await click('Meadow')
      await asked
      await click('Cancel')
      await page.getByRole('heading', { name: 'Choose a wallet' }).waitFor()
      finish()
      // Account, chain and signature.
      await page.waitForFunction(() => window.walletAnswers === 3)
      assert.deepEqual(await sessionCookies(context), [])
      assert.ok(!mock?.asked.includes('POST /.siwx/sessions'), 'nothing was sent')
      assert.ok(await page.getByRole('heading', { name: 'Choose a wallet' }).isVisible())
    })
  })

  test('without scripts the page still says why', async () => {
    await opened(
      [],
      async ({ page, url }) => {
        await page.goto(`${url}/me`)
        await page.getByText('This page opens for wallets that sign in.').waitFor()
        assert.match(await page.locator('noscript').innerText(), /^Signing in needs JavaScript/)
      },
      { javaScriptEnabled: false },
    )
  })
})

describe('when somebody is signed in', () => {
  async function signedIn(page, url, name) {
    await page.goto(`${url}/.siwx/login?return=/.siwx/login`)
    await Promise.all([page.waitForEvent('load'), page.getByRole('button', { name }).click()])
    await page.getByRole('heading', { name: 'Your accounts' }).waitFor()
  }

  test('the page shows account and subscription, and goes on', async () => {
    const wallet = new EvmWallet()
    await opened([wallet], async ({ page, url, mock }) => {
      mock?.subscribe(wallet.account(), 'pro', '2030-01-31T00:00:00Z')
      await signedIn(page, url, 'Meadow')
      await page.getByRole('heading', { name: 'Signed in', level: 1 }).waitFor()
      const account = page.locator('.account')
      assert.match(await account.innerText(), new RegExp(`^${wallet.address.slice(0, 6)}…${wallet.address.slice(-4)} Ethereum`))
      assert.equal(await account.locator('.address').getAttribute('title'), wallet.address)
      if (mock) assert.match(await account.innerText(), /Plan pro until Jan 31, 2030$/)
      assert.equal(await page.getByRole('link', { name: 'Continue' }).getAttribute('href'), `${url}/`)
    })
  })

  test('another wallet is added', async () => {
    const [first, second] = [new EvmWallet(), new SolanaWallet()]
    await opened([first, second], async ({ page, url, click }) => {
      await signedIn(page, url, 'Meadow')
      await click('Use another wallet')
      await Promise.all([page.waitForEvent('load'), click('Sundial')])
      await page.locator('.account').nth(1).waitFor()
      const shown = await page.locator('.account').allInnerTexts()
      assert.equal(shown.filter((text) => /in use/.test(text)).length, 1)
      assert.match(shown.find((text) => /in use/.test(text)), /Solana/)
    })
  })

  test('signing out ends the session', async () => {
    await opened([new EvmWallet()], async ({ page, url, click, context }) => {
      await signedIn(page, url, 'Meadow')
      await click('Sign out')
      await page.getByRole('heading', { name: 'Choose a wallet' }).waitFor()
      assert.equal(await page.getByRole('status').innerText(), 'You are signed out.')
      assert.ok(await page.getByRole('heading', { name: 'Sign in', level: 1 }).isVisible())
      assert.deepEqual(await sessionCookies(context), [])
      assert.equal((await page.goto(`${url}/me`)).status(), 401)
    })
  })

  test('an account without subscription is told so', async () => {
    await opened([new EvmWallet()], async ({ page, url, click }) => {
      await page.goto(`${url}/.siwx/login?return=/reports`)
      const [refused] = await Promise.all([page.waitForResponse(`${url}/reports`), click('Meadow')])
      assert.equal(refused.status(), 403)
      await page.getByRole('heading', { name: 'Subscription needed', level: 1 }).waitFor()
      await page.getByRole('button', { name: 'Use another wallet' }).waitFor()
      assert.ok(await page.getByRole('link', { name: 'Continue' }).isHidden())
    })
  })
})

describe('a page with a price', () => {
  test('names it, and what x402 clients would pay', mockOnly, async () => {
    await opened([new EvmWallet()], async ({ page, url }) => {
      const refused = await page.goto(`${url}/paid`)
      assert.equal(refused.status(), 402)
      await page.getByRole('heading', { name: 'For sale', level: 1 }).waitFor()
      const prices = await page.locator('#prices li').allInnerTexts()
      assert.deepEqual(prices, ['$0.01 in USDC on Base', '$5 for the plan pro, in USDC on Solana'])
      await page.getByText('What x402 clients pay').click()
      const terms = await page.locator('#terms dl').first().innerText()
      assert.equal(
        terms.replace(/\s+/g, ' '),
        'Network eip155:8453 Amount 10000 Token 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913 Paid to 0x209693Bc6afc0C5328bA36FaF03C514EF312287C',
      )
    })
  })
})

describe('everybody can use it', () => {
  test('landmarks, headings, names and live regions', async () => {
    await opened([new EvmWallet()], async ({ page, url }) => {
      await page.goto(`${url}/me`)
      await page.getByRole('button', { name: 'Meadow' }).waitFor()
      const { host } = new URL(url)
      assert.equal(
        await page.locator('body').ariaSnapshot(),
        [
          '- main "Sign in":',
          `  - paragraph: ${host}`,
          '  - heading "Sign in" [level=1]',
          '  - paragraph: This page opens for wallets that sign in.',
          '  - alert',
          '  - status',
          '  - region "Choose a wallet":',
          '    - heading "Choose a wallet" [level=2]',
          '    - list:',
          '      - listitem:',
          '        - button "Meadow Ethereum"',
          '    - group: What you will sign',
        ].join('\n'),
      )
    })
  })

  for (const colorScheme of ['light', 'dark']) {
    test(`every text has enough contrast, ${colorScheme}`, async () => {
      const wallet = new EvmWallet()
      wallet.behaves.personal_sign = REFUSES
      await opened(
        [wallet, new EvmWallet({ name: 'Letter', icon: null })],
        async ({ page, url, click }) => {
          await page.goto(`${url}/${real ? 'me' : 'paid'}`)
          await click('Meadow')
          await complaint(page, /declined/)
          for (const details of await page.locator('details:visible > summary').all()) await details.click()
          const { texts, worst } = await page.evaluate(contrasts)
          assert.ok(texts >= 10, `${texts} texts`)
          assert.ok(worst.ratio >= 4.5, JSON.stringify(worst))
        },
        { colorScheme },
      )
    })
  }

  test('a narrow phone shows everything without scrolling sideways', async () => {
    const wallets = [new EvmWallet({ name: 'W'.repeat(40) }), new SolanaWallet()]
    wallets[0].behaves.personal_sign = never
    await opened(
      wallets,
      async ({ page, url }) => {
        const wide = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
        await page.goto(`${url}/${real ? 'me' : 'paid'}`)
        await page.getByRole('button', { name: 'WWW' }).waitFor()
        for (const details of await page.locator('details:visible > summary').all()) await details.click()
        assert.equal(await wide(), 0, 'choosing')
        await page.getByRole('button', { name: 'WWW' }).click()
        await page.locator('#text').waitFor()
        assert.equal(await wide(), 0, 'signing')
      },
      { viewport: { width: 320, height: 640 } },
    )
  })
})

// Runs in the page: the contrast of every visible text with what it stands on (WCAG 2.2, relative luminance).
function contrasts() {
  const channels = (color) => color.match(/[\d.]+/g).map(Number)
  const luminance = ([red, green, blue]) => {
    const linear = [red, green, blue].map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4))
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
  }
  const ground = (element) => {
    const color = channels(getComputedStyle(element).backgroundColor)
    return color.length === 4 && color[3] === 0 ? ground(element.parentElement) : color
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const found = []
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement
    if (walker.currentNode.data.trim() === '' || !element.checkVisibility()) continue
    const [one, other] = [channels(getComputedStyle(element).color), ground(element)].map(luminance)
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)
    found.push({ ratio, text: walker.currentNode.data })
  }
  return { texts: found.length, worst: found.reduce((worst, next) => (next.ratio < worst.ratio ? next : worst)) }
}
