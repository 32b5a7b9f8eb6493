using LabPortal.Domain.Labs;
using LabPortal.Operations.Labs;
using LabPortal.Web.Features.Leases;
using LabPortal.Web.Features.Shell;
using LabPortal.Web.Features.Workflows;
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
        LabVerb.Snapshot => dialogs.ShowAsync<SnapshotDialog>(null, new DialogParameters<SnapshotDialog> { { dialog => dialog.Lab, lab } }, s_options),
        LabVerb.Abandon => dialogs.ShowAsync<AbandonDialog>(null, new DialogParameters<AbandonDialog> { { dialog => dialog.Run, lab.Run } }, s_options),
        _ => commands.RunAsync((actor, cancellation) => calls.AskAsync(actor, lab.Id, verb, cancellation), Said(verb).With(("name", lab.Name)), Ask(lab, verb)),
    };

    /// <summary>The verbs that a lab's own button or menu can do: others need to know which snapshot, or stand where the trouble is told.</summary>
    public static IEnumerable<LabVerb> OfLab(LabView lab) => lab.Verbs.Where(verb => verb is not (LabVerb.Revert or LabVerb.DeleteSnapshot));

    public Task RevertAsync(LabView lab, SnapshotView snapshot) => commands.RunAsync(
        (actor, cancellation) => calls.RevertAsync(actor, lab.Id, snapshot.Name, cancellation), Say.SaidRevert.With(("name", snapshot.Name)),
        new Confirmation(Say.RevertConfirm.With(("lab", lab.Name), ("name", snapshot.Name)), Say.RevertConfirmText, Look.OfVerb(LabVerb.Revert)));

    /// <summary>To how it was handed over.</summary>
    public Task ResetToCleanAsync(LabView lab) => commands.RunAsync(
        (actor, cancellation) => calls.RevertAsync(actor, lab.Id, Snapshot.Clean, cancellation), Say.SaidResetToClean.With(("name", lab.Name)),
        new Confirmation(Say.ResetConfirm.With(("name", lab.Name)), Say.ResetConfirmText, Say.ResetToClean));

    public Task DeleteSnapshotAsync(LabView lab, SnapshotView snapshot) => commands.RunAsync(
        (actor, cancellation) => calls.DeleteSnapshotAsync(actor, lab.Id, snapshot.Name, cancellation), Say.SaidDeleteSnapshot.With(("name", snapshot.Name)),
        new Confirmation(Say.SnapshotDeleteConfirm.With(("name", snapshot.Name)), Say.SnapshotDeleteConfirmText, Say.SnapshotDelete));

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
        LabVerb.Snapshot => Icons.Material.Rounded.PhotoCamera,
        LabVerb.Revert => Icons.Material.Rounded.SettingsBackupRestore,
        LabVerb.DeleteSnapshot => Icons.Material.Rounded.DeleteOutline,
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
