// The login page is there for everybody: by ear, by keyboard, in poor light, on a small screen.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { complaint, launch, opened as openedIn, real } from './browser.js'
import { EvmWallet, REFUSES, SolanaWallet } from './wallets.js'

let browser
const opened = (...about) => openedIn(browser, ...about)

before(async () => {
  browser = await launch()
})

after(() => browser.close())

const never = () => new Promise(() => {})

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
