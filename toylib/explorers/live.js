
// The view of `_live.Plot`. Above are plotly.js, which names itself on the window, `DARK`, and plot.js.

export default {
  // A view made later starts from what is shown by then.
  initialize({ model }) {
    model.on("msg:custom", change => apply(model.get("_figure"), change))
  },

  render({ model, el }) {
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
