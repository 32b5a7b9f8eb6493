using LabPortal.Domain.Labs;
using LabPortal.Operations.Labs;
using LabPortal.Web.Features.Leases;
using LabPortal.Web.Features.Shell;
using LabPortal.Web.Texts;
using MudBlazor;

namespace LabPortal.Web.Features.Labs;

/// <summary>Each verb of a lab as a deed of a page: what is asked before, which call, what is said after. Lists and pages share it.</summary>
internal sealed class LabDeeds(Commands commands, LabCalls calls, IDialogService dialogs)
{
    private static readonly DialogOptions s_options = new() { MaxWidth = MaxWidth.ExtraSmall, FullWidth = true, CloseOnEscapeKey = true };

    public Task DoAsync(LabView lab, LabVerb verb) => verb switch
    {
        LabVerb.Extend => dialogs.ShowAsync<ExtendDialog>(null, new DialogParameters<ExtendDialog> { { dialog => dialog.Lab, lab } }, s_options),
        LabVerb.Abandon => dialogs.ShowAsync<AbandonDialog>(null, new DialogParameters<AbandonDialog> { { dialog => dialog.Lab, lab } }, s_options),
        _ => commands.RunAsync((actor, cancellation) => calls.AskAsync(actor, lab.Id, verb, cancellation), Said(verb).With(("name", lab.Name)), Ask(lab, verb)),
    };

    public Task DoAsync(LabView lab, MachineView machine, LabVerb verb)
    {
        var confirm = verb is LabVerb.Stop or LabVerb.Restart
            ? new Confirmation(Say.MachineConfirm.With(("verb", Look.OfVerb(verb)), ("name", machine.Name)), Say.MachineConfirmText, Look.OfVerb(verb), Destructive: false)
            : null;
        return commands.RunAsync((actor, cancellation) => calls.AskMachineAsync(actor, lab.Id, machine.Name, verb, cancellation), Said(verb).With(("name", machine.Name)), confirm);
    }

    public static string Icon(LabVerb verb) => verb switch
    {
        LabVerb.Extend => Icons.Material.Rounded.MoreTime,
        LabVerb.Start => Icons.Material.Rounded.PlayArrow,
        LabVerb.Stop => Icons.Material.Rounded.Pause,
        LabVerb.Restart => Icons.Material.Rounded.RestartAlt,
        LabVerb.Cancel => Icons.Material.Rounded.Undo,
        LabVerb.End => Icons.Material.Rounded.DeleteOutline,
        LabVerb.Retry => Icons.Material.Rounded.Replay,
        LabVerb.Abandon => Icons.Material.Rounded.LinkOff,
        _ => Icons.Material.Rounded.Tune,
    };

    private static Confirmation? Ask(LabView lab, LabVerb verb) => verb switch
    {
        LabVerb.End => new(Say.EndConfirm.With(("name", lab.Name)), Say.EndConfirmText, Look.OfVerb(verb)),
        LabVerb.Cancel => new(Say.CancelConfirm, Say.CancelConfirmText, Look.OfVerb(verb)),
        LabVerb.Stop => new(Say.StopConfirm.With(("name", lab.Name)), Say.StopConfirmText, Look.OfVerb(verb), Destructive: false),
        LabVerb.Restart => new(Say.RestartConfirm.With(("name", lab.Name)), Say.RestartConfirmText, Look.OfVerb(verb), Destructive: false),
        _ => null,
    };

    private static string Said(LabVerb verb) => verb switch
    {
        LabVerb.Start => Say.SaidStart,
        LabVerb.Stop => Say.SaidStop,
        LabVerb.Restart => Say.SaidRestart,
        LabVerb.Cancel => Say.SaidCancel,
        LabVerb.End => Say.SaidEnd,
        _ => Say.SaidRetry,
    };
}
