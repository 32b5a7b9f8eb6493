using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.Labs;
using LabPortal.Operations.Telemetry;
using LabPortal.Web.Texts;
using Microsoft.AspNetCore.Components;

namespace LabPortal.Web.Features.Shell;

/// <summary>A page that reads a snapshot and reads again whenever its feed says that something changed.</summary>
public abstract class FeedPage : ComponentBase, IAsyncDisposable
{
    private readonly CancellationTokenSource _life = new();
    private Task _watching = Task.CompletedTask;
    private readonly Newest _reading = new();

    [Inject] private Browser Browser { get; set; } = null!;
    [Inject] private LabFeed Feed { get; set; } = null!;
    [Inject] private Caller Who { get; set; } = null!;
    [Inject] private ILogger<FeedPage> Log { get; set; } = null!;

    /// <summary>There is something to show.</summary>
    protected bool Loaded { get; private protected set; }

    /// <summary>Why there is nothing to show, as a sentence.</summary>
    protected string? Problem { get; set; }
    protected CancellationToken Life => _life.Token;
    protected abstract FeedTopics Topics { get; }

    protected abstract Task ReadAsync(Actor actor, CancellationToken cancellation);

    /// <summary>The value; a refusal becomes the page's problem.</summary>
    protected T? Take<T>(Outcome<T> outcome)
    {
        if (outcome.Ok) return outcome.Value;
        Problem = Sentences.Of(outcome.Refusal!);
        return default;
    }

    // Drawn before it lives, it is only what stands there now.
    protected override void OnInitialized() => _watching = Browser.Alive ? WatchAsync() : Task.CompletedTask;

    protected override Task OnParametersSetAsync() => RefreshAsync();

    protected async Task RefreshAsync()
    {
        // Parameters may change while an older read is under way.
        using var click = PortalTrace.Click("read");
        try
        {
            await _reading.RunAsync(async cancellation =>
            {
                var actor = await Who.ActorAsync(cancellation);
                Problem = null;
                await ReadAsync(actor, cancellation);
                Loaded = true;
            }, Life);
        }
        catch (OperationCanceledException)
        {
            return;
        }
        // On the way elsewhere, before it lives.
        catch (Exception fault) when (fault is not NavigationException)
        {
            Log.LogError(fault, "A page could not be read.");
            Problem = PageErrors.Quoted(Say.PageBroke);
        }


        if (!Life.IsCancellationRequested) StateHasChanged();
    }

    private async Task WatchAsync()
    {
        try
        {
            var first = true;
            await foreach (var _ in Feed.WatchAsync(Topics, await Who.PersonAsync(), Life))
            {
                if (!first) await InvokeAsync(RefreshAsync);
                first = false;
            }
        }
        catch (OperationCanceledException)
        {
            // The page was left.
        }
    }

    public virtual async ValueTask DisposeAsync()
    {
        await _life.CancelAsync();
        await _watching;
        _life.Dispose();
        GC.SuppressFinalize(this);
    }
}
