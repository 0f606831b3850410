// A person signs in on the login page, comes back to it, and signs out.
//
// It runs against the mock, or against the gateway that SIWX_URL names; what only the mock can be told to do is skipped
// there. Of a gateway it expects what `gateway.py` configures: `/me` for a wallet, the rest for a subscription.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { complaint, goods, launch, mockOnly, opened as openedIn, real, sessionCookies } from './browser.js'
import { EvmWallet, REFUSES, SolanaWallet } from './wallets.js'

let browser
const opened = (...about) => openedIn(browser, ...about)

before(async () => {
  browser = await launch()
})

after(() => browser.close())

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

describe('when somebody is signed in', () => {
  async function signedIn(page, url, name) {
    await page.goto(`${url}/.siwx/login?return=/.siwx/login`)
    await Promise.all([page.waitForEvent('load'), page.getByRole('button', { name }).click()])
    await page.getByRole('heading', { name: 'Your accounts' }).waitFor()
  }

  test('the page shows account and subscription, and goes on', async () => {
    const wallet = new EvmWallet()
    await opened([wallet], async ({ page, url, plan, subscribe }) => {
      await subscribe(wallet.account(), plan, '2030-01-31T00:00:00Z')
      await signedIn(page, url, 'Meadow')
      await page.getByRole('heading', { name: 'Signed in', level: 1 }).waitFor()
      const account = page.locator('.account')
      assert.match(await account.innerText(), new RegExp(`^${wallet.address.slice(0, 6)}…${wallet.address.slice(-4)} Ethereum`))
      assert.equal(await account.locator('.address').getAttribute('title'), wallet.address)
      const words = plan === 'default' ? 'Subscribed' : `Plan ${plan}`
      assert.ok((await account.innerText()).endsWith(`${words} until Jan 31, 2030`), await account.innerText())
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
      assert.match(await page.locator('.account').innerText(), /No subscription$/)
      assert.ok(await page.getByRole('link', { name: 'Continue' }).isHidden())

      const [signedOut] = await Promise.all([page.waitForResponse(`${url}/reports`), click('Sign out')])
      assert.equal(signedOut.status(), 401)
      await page.getByRole('heading', { name: 'Sign in', level: 1 }).waitFor()
    })
  })

  test('declining with another wallet leaves the accounts that are there', async () => {
    const other = new SolanaWallet()
    other.behaves.signIn = REFUSES
    await opened([new EvmWallet(), other], async ({ page, url, click }) => {
      await signedIn(page, url, 'Meadow')
      await click('Use another wallet')
      await click('Sundial')
      await complaint(page, /^You declined in Sundial/)
      assert.equal(await page.locator('.account:visible').count(), 1)

      other.behaves.signIn = () => new Promise(() => {})
      await click('Sundial')
      await page.getByRole('status').getByText('Confirm in Sundial').waitFor()
      assert.equal(await page.locator('.account:visible').count(), 0, 'while the wallet asks')
      await click('Cancel')
      assert.equal(await page.locator('.account:visible').count(), 1)
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
