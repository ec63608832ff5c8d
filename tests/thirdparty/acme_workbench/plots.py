import plotly.graph_objects as go


def figures(report):
    """One bar a band."""
    table = report.tables["importance"]
    figure = go.Figure(go.Bar(x=table["component"], y=table["score"]))
    figure.update_layout(xaxis_title="band", yaxis_title="F statistic")
    return {"bands": figure}
