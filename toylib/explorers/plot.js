// A plotly figure in a box: as wide as the box, in the colours of the page's theme. `Plotly` is plotly.js and `DARK`
// toylib.figures.style.DARK; a plain script, since a browser loads no module from disk.

const TOUCH = matchMedia("(pointer: coarse)").matches
const CONFIG = {
  displaylogo: false,
  displayModeBar: TOUCH ? false : "hover",
  modeBarButtonsToRemove: ["sendChartToCloud", "lasso2d", "select2d"], // nothing leaves the page
}

// The page of the site, or JupyterLab's.
const isDark = () => document.documentElement.dataset.theme === "dark" || document.body.dataset.jpThemeLight === "false"

// A copy in the colours of the theme.
const coloured = part => {
  const text = JSON.stringify(part)
  return JSON.parse(isDark() ? text.replace(/#[0-9a-f]{6}\b/gi, colour => DARK[colour.toUpperCase()] ?? colour) : text)
}

// Change some properties of some traces and of the layout; null takes one away, as in plotly's own updates.
const apply = ({ data, layout }, change) => {
  const assign = (target, changed) => {
    for (const [name, value] of Object.entries(changed ?? {})) {
      if (value === null) delete target[name]
      else target[name] = value
    }
  }
  for (const [i, changed] of Object.entries(change.traces ?? {})) assign(data[i], changed)
  assign(layout, change.layout)
}

const REST_MS = 60 // plotly itself has to see that a pointer is up
const pause = ms => new Promise(done => setTimeout(done, ms))
const released = () => new Promise(done => {
  for (const name of ["pointerup", "pointercancel"]) addEventListener(name, done, { capture: true, once: true })
})

class Plot {
  constructor(box, { data, layout }) {
    this.box = box
    this.figure = structuredClone({ data, layout })
    this.figure.layout.uirevision ??= "what a reader turned or zoomed stays"
    this.last = Promise.resolve()
    this.resized = new ResizeObserver(() => box.clientWidth !== this.shown?.layout.width && this.draw())
    this.themed = new MutationObserver(() => this.isDark !== isDark() && this.repaint())
    for (const root of [document.documentElement, document.body]) {
      this.themed.observe(root, { attributeFilter: ["data-theme", "data-jp-theme-light"] })
    }
    box.addEventListener("pointerdown", () => this.hold(released()), true)
    box.addEventListener("wheel", () => this.hold(), { passive: true })
    this.repaint()
    this.resized.observe(box)
  }

  // A reader who turns or zooms wins over whatever moves the plot: it is drawn again a little later.
  hold(until) {
    this.isTurned = true
    const rest = Promise.all([this.held, until]).then(() => pause(REST_MS)).then(() => this.held === rest && (this.held = null))
    this.held = rest
  }

  // Change what is shown; done when it is drawn.
  update(change) {
    apply(this.figure, change)
    apply(this.shown, coloured(change))
    return this.draw()
  }

  repaint() {
    this.isDark = isDark()
    this.shown = coloured(this.figure)
    return this.draw()
  }

  // Changes that come while the browser is busy, or a pointer is down, cost one drawing.
  draw() {
    return (this.waiting ??= this.drawNext())
  }

  async drawNext() {
    await this.last
    await pause(0)
    while (this.held) await this.held
    this.waiting = null
    const { data, layout } = this.shown
    layout.width = this.box.clientWidth
    if (!layout.width) return // out of sight, or gone: drawn when it has a width
    this.box.style.height = `${(layout.height ??= 450)}px`
    const { _fullLayout: full } = this.box
    for (const name of full?._subplots.gl3d ?? []) {
      // What a reader turned stays, and goes on turning for a moment after the pointer is up.
      if (this.isTurned) (layout[name] ??= {}).camera = full[name]._scene.getCamera()
    }
    if (TOUCH) {
      layout.dragmode = false // a finger scrolls the page, and turns what is 3-D
      for (const name in layout) if (name.startsWith("scene")) layout[name].dragmode = "turntable"
    }
    this.last = Plotly.react(this.box, data, layout, CONFIG).catch(error => console.error(error))
    await this.last
  }

  remove() {
    this.resized.disconnect()
    this.themed.disconnect()
    this.box.remove() // without a width it is not drawn again
    Plotly.purge(this.box)
  }
}
