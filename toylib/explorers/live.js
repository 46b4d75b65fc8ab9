
// The view of `_live.Plot`. Above are the text of plotly.js, `DARK`, and plot.js, which draws by `Plotly`.

let Plotly

// plotly.js names itself on the window, where JupyterLab's own, which draws figures, takes that name when it comes.
const run = async source => {
  await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })))
  return window.Plotly
}

export default {
  // A view made later starts from what is shown by then.
  initialize({ model }) {
    model.on("msg:custom", change => apply(model.get("_figure"), change))
  },

  async render({ model, el }) {
    Plotly = await (window.toylibPlotly ??= run(PLOTLY))
    const box = document.createElement("div")
    box.style.minWidth = "320px"
    el.append(box)
    const plot = new Plot(box, model.get("_figure"))
    const move = change => plot.update(change)
    model.on("msg:custom", move)
    plot.last.then(() => setTimeout(() => model.send("shown"), 1000))
    return () => {
      model.off("msg:custom", move)
      plot.remove()
    }
  },
}
