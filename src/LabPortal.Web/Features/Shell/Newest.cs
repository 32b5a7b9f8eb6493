namespace LabPortal.Web.Features.Shell;

/// <summary>Of several deeds, one at a time: whichever begins tells the one before to give up, which then ends as cancelled.</summary>
internal sealed class Newest
{
    private CancellationTokenSource? _now;

    public async Task RunAsync(Func<CancellationToken, Task> deed, CancellationToken cancellation)
    {
        using var own = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var older = _now;
        _now = own;
        try
        {
            if (older is not null) await older.CancelAsync();
            own.Token.ThrowIfCancellationRequested();
            await deed(own.Token);
        }
        finally
        {
            if (_now == own) _now = null;
        }
    }
}
