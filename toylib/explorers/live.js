
// Everything above is plotly.js, which names itself on the window.
const { Plotly } = window

// null takes a property away, as in plotly's own updates.
const assign = (target, changed) => {
  for (const [name, value] of Object.entries(changed)) {
    if (value === null) delete target[name]
    else target[name] = value
  }
}

const apply = (figure, { traces, layout }) => {
  for (const [i, changed] of Object.entries(traces)) assign(figure.data[i], changed)
  assign(figure.layout, layout)
}

export default {
  // A view made later starts from what is shown by then.
  initialize({ model }) {
    const figure = model.get("_figure")
    model.on("msg:custom", message => apply(figure, message))
  },

  render({ model, el }) {
    const plot = document.createElement("div")
    el.append(plot)
    const { data, layout } = structuredClone(model.get("_figure"))
    // Nothing leaves the page: plotly's button that sends a figure to its cloud goes.
    Plotly.newPlot(plot, data, layout, { displaylogo: false, modeBarButtonsToRemove: ["sendChartToCloud"] })
    // Moves that arrive while the browser is busy cost one drawing.
    let waiting = 0
    const move = message => {
      apply({ data, layout }, structuredClone(message))
      waiting ||= setTimeout(() => {
        waiting = 0
        Plotly.react(plot, data, layout)
      })
    }
    model.on("msg:custom", move)
    return () => {
      clearTimeout(waiting)
      model.off("msg:custom", move)
      Plotly.purge(plot)
    }
  },
}
