// The login page finds wallets of every kind, whatever they call themselves and whenever they come.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { goods, launch, mockOnly, opened as openedIn } from './browser.js'
import { EvmWallet, SolanaWallet } from './wallets.js'

let browser
const opened = (...about) => openedIn(browser, ...about)

before(async () => {
  browser = await launch()
})

after(() => browser.close())

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
