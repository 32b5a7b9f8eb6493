using LabPortal.Domain;
using LabPortal.Domain.People;
using LabPortal.Operations.Telemetry;
using LabPortal.Web.Texts;
using MudBlazor;

namespace LabPortal.Web.Features.Shell;

/// <summary>What is asked before something that cannot be taken back.</summary>
public sealed record Confirmation(string Title, string Text, string Deed, bool Destructive = true);

/// <summary>The one way in which pages do things: confirm, busy, call, say how it went.</summary>
internal sealed class Commands(Caller caller, ISnackbar snackbar, IDialogService dialogs, ILogger<Commands> log)
{
    public event Action? Changed;

    public bool Busy { get; private set; }

    /// <summary>
    /// The value, or nothing where it was refused, failed, or not confirmed. A second click while the first is under way does nothing.
    /// With <paramref name="refused"/> the caller shows the refusal itself.
    /// </summary>
    public async Task<T?> RunAsync<T>(
        Func<Actor, CancellationToken, Task<Outcome<T>>> call, string? done = null, Confirmation? confirm = null, Action<Refusal>? refused = null, CancellationToken cancellation = default)
    {
        if (Busy || (confirm is not null && !await ConfirmedAsync(confirm))) return default;
        Set(busy: true);
        using var click = PortalTrace.Click();
        try
        {
            var outcome = await call(await caller.ActorAsync(cancellation), cancellation);
            if (outcome.Refusal is { } refusal)
            {
                if (refused is not null) refused(refusal);
                else snackbar.Add(Told(refusal), MudBlazor.Severity.Warning);
                return default;
            }

            if (done is not null) snackbar.Add(done, MudBlazor.Severity.Success);
            return outcome.Value;
        }
        catch (OperationCanceledException)
        {
            return default;
        }
        catch (Exception fault)
        {
            log.LogError(fault, "A command of a page failed.");
            snackbar.Add(PageErrors.Quoted(Say.CommandBroke), MudBlazor.Severity.Error);
            return default;
        }
        finally
        {
            Set(busy: false);
        }
    }

    public void Tell(string text, bool good = true) => snackbar.Add(text, good ? MudBlazor.Severity.Success : MudBlazor.Severity.Warning);

    /// <summary>The refusal with every wrong field, as it fits into one message.</summary>
    public static string Told(Refusal refusal)
        => refusal.Errors is { Count: > 0 } errors ? string.Join(" ", errors.Select(error => Sentences.Of(error)).Distinct()) : Sentences.Of(refusal);

    private async Task<bool> ConfirmedAsync(Confirmation confirm)
    {
        var parameters = new DialogParameters<ConfirmDialog> { { dialog => dialog.Ask, confirm } };
        var options = new DialogOptions { MaxWidth = MaxWidth.ExtraSmall, FullWidth = true, CloseOnEscapeKey = true };
        var dialog = await dialogs.ShowAsync<ConfirmDialog>(confirm.Title, parameters, options);
        return await dialog.Result is { Canceled: false };
    }

    private void Set(bool busy)
    {
        Busy = busy;
        Changed?.Invoke();
    }
}
